import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Value } from '@sinclair/typebox/value'
import { Catalog, Progress } from '../init/contract.ts'
import { sha256Of } from '../init/disk.ts'
import { runInRoot } from '../init/root.ts'

const ROOT = join(import.meta.dir, '..')

describe('a build', () => {
  /**
   * Two small packages in a process of their own, so that it can be killed. Each step writes its name into `journal`;
   * `upper` waits for ever, fails or fills the disk while a file of that name is in the directory.
   */
  const BUILDER = `
    import { appendFile, mkdir } from 'node:fs/promises'
    import { existsSync } from 'node:fs'
    import { join } from 'node:path'
    import { build } from '${ROOT}/init/build.ts'
    import { openVolume } from '${ROOT}/init/volume.ts'
    const directory = process.argv[1]
    const version = process.argv[2]
    const journal = (line) => appendFile(join(directory, 'journal'), line + '\\n')
    const describe = (mountPoint) => async () =>
      ({ version, mountPoint, languages: [], commands: {}, environment: {}, libraries: [] })
    const write = (name, file) => async ({ tree }) => {
      await journal(name)
      await mkdir(tree, { recursive: true })
      await Bun.write(join(tree, file), file.repeat(1000))
      await Bun.sleep(Number(process.env.STEP_MS ?? 0))
    }
    const recipes = [
      { name: 'lower', inputs: [version], describe: describe('/'), steps: [
        { name: 'one', title: 'one', run: write('lower/one', 'a') },
        { name: 'two', title: 'two', run: write('lower/two', 'b') } ] },
      { name: 'upper', inputs: [version], describe: describe('/opt'), steps: [
        { name: 'one', title: 'one', needs: ['lower/two'], run: async (at) => {
          await at.treeOf('lower')
          await write('upper/one', 'c')(at)
          if (existsSync(join(directory, 'hang'))) await new Promise((resolve) => at.signal.addEventListener('abort', resolve))
          if (existsSync(join(directory, 'fail'))) throw new Error('upper does not like it')
          if (existsSync(join(directory, 'fill'))) await Bun.write(join(at.scratch, 'much'), new Uint8Array(64_000_000))
        } } ] },
    ]
    const stop = new AbortController()
    process.once('SIGTERM', () => stop.abort(new Error('stopped')))
    try {
      const volume = openVolume(join(directory, 'volume'))
      await build({ volume, profile: 'minimal', recipes, say: console.log, signal: stop.signal })
      process.exit(0)
    } catch (error) {
      console.log(error.message)
      process.exit(1)
    }`

  const start = (directory: string, version = '1', env: Record<string, string> = {}) =>
    Bun.spawn([process.execPath, '-e', BUILDER, directory, version], { stdout: 'pipe', stderr: 'inherit', env: { ...Bun.env, ...env } })
  const finish = async (directory: string, version?: string) => {
    const builder = start(directory, version)
    const said = await new Response(builder.stdout).text()
    return { code: await builder.exited, said }
  }
  const journal = async (directory: string) => (await Bun.file(join(directory, 'journal')).text()).trim().split('\n')
  const catalogOf = async (directory: string) => Value.Parse(Catalog, await Bun.file(join(directory, 'volume/catalog.json')).json())
  const progressOf = async (directory: string) => Value.Parse(Progress, await Bun.file(join(directory, 'volume/progress.json')).json())
  const until = async (ready: () => Promise<boolean>) => {
    while (!(await ready())) await Bun.sleep(5)
  }
  const hasJournal = (directory: string, line: string) => () =>
    journal(directory).then(
      (lines) => lines.includes(line),
      () => false,
    )

  const expectServed = async (directory: string, version: string) => {
    const catalog = await catalogOf(directory)
    expect(catalog.packages.map(({ name, version }) => `${name} ${version}`)).toEqual([`lower ${version}`, `upper ${version}`])
    for (const { artifact, digest, size } of catalog.packages) {
      const path = join(directory, 'volume', artifact)
      expect({ digest: `sha256:${await sha256Of(path)}`, size: (await stat(path)).size }).toEqual({ digest, size })
      expect(Bun.spawnSync(['fsck.erofs', path]).exitCode).toBe(0)
    }
    // nothing but what is served, what was served before, and the records of it
    expect((await readdir(join(directory, 'volume/work'))).sort()).toEqual(['built', 'logs'])
  }

  const scratch = async () => {
    const directory = await mkdtemp(join(tmpdir(), 'init-'))
    return { directory, [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }) }
  }

  test('makes the packages once; again, it changes nothing', async () => {
    await using here = await scratch()
    expect(await finish(here.directory)).toMatchObject({ code: 0 })
    await expectServed(here.directory, '1')
    expect(await progressOf(here.directory)).toMatchObject({ state: 'complete', done: 5, total: 5 })

    const before = await stat(join(here.directory, 'volume/catalog.json'))
    expect(await finish(here.directory)).toMatchObject({ code: 0 })
    expect(await stat(join(here.directory, 'volume/catalog.json'))).toEqual(before)
    expect(await journal(here.directory)).toEqual(['lower/one', 'lower/two', 'upper/one'])
  })

  test('equal inputs make equal bytes', async () => {
    await using first = await scratch()
    await using second = await scratch()
    await Promise.all([finish(first.directory), finish(second.directory)])
    const digests = (catalog: Catalog) => catalog.packages.map(({ digest }) => digest)
    expect(digests(await catalogOf(first.directory))).toEqual(digests(await catalogOf(second.directory)))
  })

  test('killed in a step, it goes on with that step', async () => {
    await using here = await scratch()
    await Bun.write(join(here.directory, 'hang'), '')
    const killed = start(here.directory)
    await until(hasJournal(here.directory, 'upper/one'))
    killed.kill('SIGKILL')
    await killed.exited
    expect(await progressOf(here.directory)).toMatchObject({ state: 'building' })

    await rm(join(here.directory, 'hang'))
    expect(await finish(here.directory)).toMatchObject({ code: 0 })
    expect(await journal(here.directory)).toEqual(['lower/one', 'lower/two', 'upper/one', 'upper/one'])
    await expectServed(here.directory, '1')
  })

  test('killed at any moment, the next one ends well', async () => {
    await using here = await scratch()
    for (let killAfterMs = 20; killAfterMs < 260; killAfterMs += 20) {
      const killed = start(here.directory, '1', { STEP_MS: '30' })
      await Bun.sleep(killAfterMs)
      killed.kill('SIGKILL')
      await killed.exited
    }
    expect(await finish(here.directory)).toMatchObject({ code: 0 })
    await expectServed(here.directory, '1')
  }, 30_000)

  test('two at once: one builds, the other waits and finds it done', async () => {
    await using here = await scratch()
    const builders = [start(here.directory, '1', { STEP_MS: '100' }), start(here.directory, '1', { STEP_MS: '100' })]
    const said = await Promise.all(builders.map((builder) => new Response(builder.stdout).text()))
    expect(await Promise.all(builders.map((builder) => builder.exited))).toEqual([0, 0])
    expect(said.filter((text) => text.includes('waiting for another init')).length).toBe(1)
    expect(await journal(here.directory)).toEqual(['lower/one', 'lower/two', 'upper/one'])
    await expectServed(here.directory, '1')
  })

  test('the lock of a killed one is no obstacle', async () => {
    await using here = await scratch()
    await Bun.write(join(here.directory, 'hang'), '')
    const killed = start(here.directory)
    await until(hasJournal(here.directory, 'upper/one'))
    const waiting = start(here.directory)
    await rm(join(here.directory, 'hang'))
    killed.kill('SIGKILL')
    expect(await waiting.exited).toBe(0)
    await expectServed(here.directory, '1')
  })

  test('told to stop, it stops at once and says so in its progress', async () => {
    await using here = await scratch()
    await Bun.write(join(here.directory, 'hang'), '')
    const stopped = start(here.directory)
    await until(hasJournal(here.directory, 'upper/one'))
    stopped.kill('SIGTERM')
    expect(await stopped.exited).toBe(1)
    expect(await progressOf(here.directory)).toMatchObject({ state: 'failed', error: 'stopped' })
  })

  test('one that fails leaves the catalog as it was, and says why', async () => {
    await using here = await scratch()
    await finish(here.directory, '1')
    await Bun.write(join(here.directory, 'fail'), '')
    const failed = await finish(here.directory, '2')
    expect(failed.code).toBe(1)
    expect(failed.said).toContain('upper does not like it')
    expect(await progressOf(here.directory)).toMatchObject({ state: 'failed', error: 'upper does not like it' })
    expect((await catalogOf(here.directory)).packages.map(({ version }) => version)).toEqual(['1', '1'])
  })

  test('the packages of the last catalog stay until the one after the next', async () => {
    await using here = await scratch()
    const artifacts = async () => new Set(await readdir(join(here.directory, 'volume/artifacts')))
    await finish(here.directory, '1')
    const first = await artifacts()
    await finish(here.directory, '2')
    const both = await artifacts()
    expect([...first].filter((artifact) => !both.has(artifact))).toEqual([])
    await finish(here.directory, '3')
    const later = await artifacts()
    expect([...first].filter((artifact) => later.has(artifact))).toEqual([])
    expect(later.size).toBe(both.size)
  }, 10_000)

  test('a damaged artifact is made again', async () => {
    await using here = await scratch()
    await finish(here.directory)
    const path = join(here.directory, 'volume', (await catalogOf(here.directory)).packages[0]?.artifact ?? '')
    const bytes = await Bun.file(path).bytes()
    bytes[bytes.length - 1] = 1 ^ (bytes.at(-1) ?? 0)
    await Bun.write(path, bytes)
    expect(await finish(here.directory)).toMatchObject({ code: 0 })
    await expectServed(here.directory, '1')
  })

  test('on a full disk it says so, and the catalog stays', async () => {
    await using here = await scratch()
    await mkdir(join(here.directory, 'disk'))
    const disk = join(here.directory, 'disk')
    const mounted = Bun.spawnSync(['mount', '-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', disk])
    if (mounted.exitCode !== 0) return refuse('a full disk', `mount says ${mounted.stderr}`)
    try {
      await finish(disk, '1')
      await Bun.write(join(disk, 'fill'), '')
      const failed = await finish(disk, '2')
      expect(failed.code).toBe(1)
      expect(failed.said).toContain(`no space left in ${disk}/volume`)
      expect(failed.said).toContain('CODEAPI_PACKAGES_DIRECTORY')
      expect((await catalogOf(disk)).packages.map(({ version }) => version)).toEqual(['1', '1'])
      // and when there is room again
      await rm(join(disk, 'fill'))
      expect(await finish(disk, '2')).toMatchObject({ code: 0 })
      await expectServed(disk, '2')
    } finally {
      Bun.spawnSync(['umount', disk])
    }
  })
})

/** A test that cannot run here: a failure where REQUIRE_JAILS is set, else a line that says why */
const refuse = (what: string, why: string): void => {
  if (Bun.env.REQUIRE_JAILS) throw new Error(`Cannot test ${what}: ${why}`)
  console.warn(`skipped: ${what}: ${why}`)
}

const built = Bun.env.CODEAPI_TEST_PACKAGES
const missing = built ? null : 'CODEAPI_TEST_PACKAGES does not name a volume that was built'
if (missing) refuse('what is in the packages', missing)

describe.skipIf(missing !== null)('the packages', () => {
  let catalog: Catalog
  let scratch: string

  beforeAll(async () => {
    catalog = Value.Parse(Catalog, await Bun.file(join(built ?? '', 'catalog.json')).json())
    scratch = await mkdtemp(join(tmpdir(), 'packages-'))
    await mkdir(join(scratch, 'root'))
    for (const { artifact, mountPoint } of catalog.packages) {
      const mounted = Bun.spawnSync(['mount', '-t', 'erofs', '-o', 'ro', join(built ?? '', artifact), join(scratch, 'root', mountPoint)])
      if (mounted.exitCode !== 0) throw new Error(`Cannot mount ${artifact}: ${mounted.stderr}`)
    }
  })
  afterAll(async () => {
    Bun.spawnSync(['umount', '--recursive', join(scratch, 'root')])
    await rm(scratch, { recursive: true })
  })

  /** Runs a program as it will run in a jail, but for the walls: everything it prints, on both streams */
  const run = async (program: string, files: Record<string, string> = {}): Promise<{ output: string; workspace: string }> => {
    const workspace = await mkdtemp(join(scratch, 'workspace-'))
    for (const [name, text] of Object.entries(files)) await Bun.write(join(workspace, name), text)
    Bun.spawnSync(['chown', '-R', '1000:1000', workspace])
    const lines: string[] = []
    await runInRoot(
      {
        root: join(scratch, 'root'),
        binds: [{ from: workspace, to: '/mnt/data', writable: true }],
        // the shell of a jail has no tool for it
        argv: [
          'python3',
          '-c',
          'import os, sys\nos.setgroups([])\nos.setgid(1000)\nos.setuid(1000)\nos.chdir("/mnt/data")\nos.execvp("bash", ["bash", "-c", sys.argv[1]])',
          program,
        ],
        env: { HOME: '/mnt/data', ...Object.assign({}, ...catalog.packages.map(({ environment }) => environment)) },
      },
      { log: join(scratch, 'log'), onLine: (line) => lines.push(line) },
    )
    return { output: lines.join('\n'), workspace }
  }
  const output = async (program: string, files?: Record<string, string>) => (await run(program, files)).output
  const python = async (text: string) => {
    const { output, workspace } = await run('python3 main.py', { 'main.py': text })
    return { output, files: (await readdir(workspace)).filter((name) => name !== 'main.py').sort() }
  }

  test('hold no program that gives privileges, and no device but these', async () => {
    expect(await output('find / -xdev -perm /6000 2>/dev/null; true')).toBe('')
    const devices = await output('find / -xdev \\( -type b -o -type c \\) -printf "%p %m\\n" 2>/dev/null | sort')
    expect(devices).toBe(['full', 'null', 'random', 'urandom', 'zero'].map((name) => `/dev/${name} 666`).join('\n'))
  })

  test('hold nothing that manages a system', async () => {
    const tools = 'apt apt-get dpkg perl nsenter unshare chroot mount umount su passwd useradd setpriv pivot_root losetup gpg'
    expect(await output(`for tool in ${tools}; do command -v $tool; done; ls /usr/sbin`)).toBe('ldconfig')
    expect(await output('head -qn1 /usr/bin/* 2>/dev/null | grep -a "^#!.*perl"; true')).toBe('')
  })

  test('know the user, the time zone and the locale, and ask no network for names', async () => {
    expect(
      await output(
        'id -un; echo ~; getent passwd 0 65534 | cut -d: -f1; date +%Z; locale charmap; cat /etc/resolv.conf; hostname -f 2>&1 | head -0',
      ),
    ).toBe(['sandbox', '/mnt/data', 'root', 'nobody', 'UTC', 'UTF-8'].join('\n'))
  })

  test('run every language', async () => {
    const programs = {
      'a.py': 'import json, ssl, sqlite3\nprint("python")',
      'a.cjs': 'require("lodash"); console.log("node")',
      'a.mjs': 'import { z } from "zod"\nz.string()\nconsole.log("modules")',
      'a.ts': 'import { z } from "zod"\nconst name: string = z.string().parse("bun")\nconsole.log(name)',
    }
    expect(await output('echo bash; python3 a.py; python a.py; node a.cjs; node a.mjs; bun a.ts', programs)).toBe(
      ['bash', 'python', 'python', 'node', 'modules', 'bun'].join('\n'),
    )
  })

  test('let Node and Bun require and import every library, and leave nothing in the workspace', async () => {
    const names = JSON.stringify(catalog.packages.find(({ name }) => name === 'js')?.libraries.map(({ name }) => name))
    const programs = {
      'a.mjs': `for (const name of ${names}) await import(name)`,
      'a.cjs': `for (const name of ${names}) require(name)`,
      'a.ts': `for (const name of ${names}) await import(name as string)`,
    }
    const { output, workspace } = await run('node a.mjs; node a.cjs; bun a.mjs; bun a.cjs; bun a.ts', programs)
    expect(output).toBe('')
    expect((await readdir(workspace)).sort()).toEqual(Object.keys(programs).sort())
  }, 30_000)

  test('hold no link that leads nowhere', async () => {
    if (!complete()) return refuse('links', 'the minimal profile lacks the libraries that some commands belong to')
    expect(await output('find / -xdev -xtype l 2>/dev/null; true')).toBe('')
  })

  const complete = () => catalog.profile === 'complete'
  /** Modules that say something when imported, and why that is theirs to say */
  const TALKATIVE = [
    // have an effect: a poem, a browser, a window
    ...['this', 'antigravity', 'idlelib.idle'],
  ]
  const importEach = (names: string) => `
import os, subprocess, sys
from concurrent.futures import ThreadPoolExecutor
quiet = ${JSON.stringify(TALKATIVE)}
elsewhere = ${JSON.stringify(['_android_support', '_ios_support', '_osx_support', '_aix_support', '_scproxy', '_overlapped', '_winapi', '_wmi', 'msvcrt', 'nt', 'winreg', 'winsound'])}
def attempt(name):
    done = subprocess.run([sys.executable, '-c', f'import {name}'], capture_output=True, text=True)
    return name, done.returncode, done.stderr + done.stdout
names = [name for name in ${names} if name not in quiet and name not in elsewhere]
with ThreadPoolExecutor(2) as pool:
    for name, code, said in pool.map(attempt, names):
        if code or said: print(name, code, said[-500:])
print(len(names) > 0)`

  test('import every module of the standard library in silence', async () => {
    const { output } = await python(importEach('sorted(sys.stdlib_module_names)'))
    // the minimal profile has no window system and no gdbm
    const expected = complete() ? null : /^(_dbm|_gdbm|_tkinter|tkinter|turtle|turtledemo|idlelib|ensurepip|dbm) .*/
    const rest = output.split('\n').filter((line) => /^\w+ \d/.test(line) && !expected?.test(line))
    expect(rest).toEqual([])
    expect(output).toEndWith('True')
  }, 120_000)

  test('import every library in silence', async () => {
    const { output } = await python(
      importEach(`sorted({
        name.split('.')[0] for place in ['/usr/local/lib/python3.13/dist-packages'] for name in os.listdir(place)
        if name.endswith(('.py', '.so')) or name.isidentifier() and os.path.isfile(f'{place}/{name}/__init__.py')})`),
    )
    expect(output).toBe('True')
  }, 240_000)

  test('need no compiler at run time: every module has its bytecode', async () => {
    const { output } = await python(`
import importlib.util, os, sys
for place in ['/usr/lib/python3.13', '/usr/local/lib/python3.13/dist-packages']:
    for directory, _, names in os.walk(place):
        for name in names:
            path = os.path.join(directory, name)
            if name.endswith('.py') and 'lib2to3/tests' not in path and not os.path.exists(importlib.util.cache_from_source(path)): print(path)`)
    expect(output.split('\n').filter((path) => path && !path.endsWith('/olefile2.py'))).toEqual([])
  }, 60_000)

  test('start Python without delay: our hook imports next to nothing', async () => {
    const { output } = await python(
      "import sys\nprint(sorted({name.split('.')[0] for name in sys.modules} & {'matplotlib', 'numpy', 'warnings', 're', 'typing', 'inspect', 'importlib', 'sitecustomize'}))",
    )
    expect(output).toBe("['sitecustomize']")
  })

  describe('plots', () => {
    const HEAD = 'import matplotlib.pyplot as plt\nimport os\n'
    const cases: [what: string, program: string, files: string[]][] = [
      ['show() saves a figure', 'plt.plot([1, 2])\nplt.show()', ['plot_1.png']],
      ['shows are numbered', 'for i in range(3):\n  plt.plot([i])\n  plt.show()', ['plot_1.png', 'plot_2.png', 'plot_3.png']],
      [
        'one show() saves every open figure and closes it',
        'plt.figure()\nplt.figure()\nplt.show()\nassert not plt.get_fignums()\nplt.show()',
        ['plot_1.png', 'plot_2.png'],
      ],
      ['a figure that was saved is not saved again', 'plt.plot([1])\nplt.savefig("mine.png")\nplt.show()', ['mine.png']],
      ['nor one saved by its own method, as another type', 'fig, ax = plt.subplots()\nfig.savefig("mine.pdf")\nplt.show()', ['mine.pdf']],
      ['one that went into memory only is', 'import io\nplt.figure().savefig(io.BytesIO())\nplt.show()', ['plot_1.png']],
      [
        'no file is ever overwritten',
        'open("plot_1.png", "w").close()\nplt.figure()\nplt.show()\nassert os.path.getsize("plot_1.png") == 0',
        ['plot_1.png', 'plot_2.png'],
      ],
      ['without show() nothing is saved', 'plt.plot([1])', []],
      [
        'the current directory is where they go',
        'os.mkdir("sub")\nos.chdir("sub")\nplt.figure()\nplt.show()\nprint(os.listdir())',
        ['sub'],
      ],
      [
        'fig.show() saves that one, once',
        'a = plt.figure()\nb = plt.figure()\na.show()\nassert len(plt.get_fignums()) == 2\nplt.show()',
        ['plot_1.png', 'plot_2.png'],
      ],
      [
        'show(block=False) and pause() leave it open',
        'plt.plot([1])\nplt.show(block=False)\nplt.pause(0.01)\nassert plt.get_fignums()\nplt.show()',
        ['plot_1.png'],
      ],
      ['matplotlib.use("Agg") changes nothing', 'import matplotlib\nmatplotlib.use("Agg")\nplt.figure()\nplt.show()', ['plot_1.png']],
      [
        'from a thread',
        'import threading\nt = threading.Thread(target=lambda: (plt.figure(), plt.show()))\nt.start()\nt.join()',
        ['plot_1.png'],
      ],
      ['in a main function', 'def main():\n  plt.figure()\n  plt.show()\nif __name__ == "__main__":\n  main()', ['plot_1.png']],
      ['by pandas', 'import pandas\npandas.DataFrame({"a": [1, 2]}).plot()\nplt.show()', ['plot_1.png']],
      ['any text has its characters', 'plt.title("Grüße − 1 ✓ 😀")\nplt.rcParams["font.family"] = "Arial"\nplt.show()', ['plot_1.png']],
      ['more than twenty figures are no reason to warn', 'for i in range(25): plt.figure()\nplt.close("all")', []],
    ]
    test.each(cases)(
      '%s',
      async (_what, program, files) => {
        const { output, files: found } = await python(HEAD + program)
        expect({ output: output.replace("['plot_1.png']", ''), files: found }).toEqual({ output: '', files })
      },
      30_000,
    )

    const completeCases: typeof cases = [
      [
        'by seaborn',
        'import seaborn as sns\nsns.set_theme()\nsns.lineplot(x=[1, 2], y=[2, 1])\nplt.title("漢字")\nplt.show()',
        ['plot_1.png'],
      ],
      [
        'Chinese, Japanese and Korean text',
        'plt.title("漢字 かな 한국어 中文", weight="bold")\nplt.xlabel("横轴")\nplt.show()',
        ['plot_1.png'],
      ],
      [
        'fonts by the names they have elsewhere',
        'for family in ["SimHei", "Microsoft YaHei", "Arial", "Times New Roman", "Malgun Gothic", "Yu Gothic"]:\n  plt.rcParams["font.sans-serif"] = [family]\n  plt.rcParams["font.family"] = "sans-serif"\n  plt.title("中文 text")\n  plt.show()',
        [1, 2, 3, 4, 5, 6].map((n) => `plot_${n}.png`),
      ],
      ['as PDF and SVG too', 'plt.title("漢字")\nplt.savefig("a.pdf")\nplt.savefig("a.svg")', ['a.pdf', 'a.svg']],
    ]
    test.each(completeCases)(
      '%s',
      async (what, program, files) => {
        if (!complete()) return refuse(what, 'the volume holds the minimal profile')
        expect(await python(HEAD + program)).toEqual({ output: '', files })
      },
      30_000,
    )

    test('warnings name the line of the program', async () => {
      const { output } = await python(`${HEAD}plt.title("\\U000F0000")\nplt.show()\n`)
      expect(output).toContain('/mnt/data/main.py:4: UserWarning: Glyph 983040')
    })

    test('the list of fonts is not made at run time', async () => {
      const { output } = await python(`${HEAD}plt.figure()\nplt.show()\nprint(os.listdir("/tmp/matplotlib"))`)
      expect(output).toBe('[]')
    })
  })

  test('documents: HTML with Chinese text to PDF and back, and text out of a picture', async () => {
    if (!complete()) return refuse('documents', 'the volume holds the minimal profile')
    const program = `
import weasyprint, subprocess
weasyprint.HTML(string='<h1 style="font-size: 80px">Hello 漢字</h1>').write_pdf('a.pdf')
print(subprocess.run(['pdftotext', 'a.pdf', '-'], capture_output=True, text=True).stdout.strip())
import pdf2image, pytesseract
print('Hello' in pytesseract.image_to_string(pdf2image.convert_from_path('a.pdf')[0]))
import chdb
print(chdb.query('select 42').bytes().decode().strip())`
    // and no `.cache` of fontconfig: its cache is in the package
    expect(await python(program)).toEqual({ output: ['Hello 漢字', 'True', '42'].join('\n'), files: ['a.pdf'] })
  }, 60_000)
})
