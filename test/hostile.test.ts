import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { errnoOf } from '../errors.ts'
import { leftNothing, until } from './machine.ts'
import { type Answer, download, exec, jailsMissing, reference, type Services, startServices, upload } from './services.ts'

const MIB = 1024 * 1024
/** Small, so that a program that reaches them does so soon */
const LIMITS = {
  SANDBOX_RUN_MEMORY_LIMIT: String(128 * MIB),
  SANDBOX_DISK_LIMIT: String(16 * MIB),
  SANDBOX_RUN_TIMEOUT: '20000',
  SANDBOX_RUN_CPU_TIME: '8000',
  SANDBOX_MAX_PROCESS_COUNT: '60',
  SANDBOX_MAX_OPEN_FILES: '256',
  SANDBOX_MAX_FILE_SIZE: String(10 * MIB),
}

/** What `POST /v1/exec` must answer, and what it is asked beside `lang` and `code` */
type Ends = Record<string, unknown>
type Asks = { readonly args?: readonly string[]; readonly timeout?: number }
type Attack = readonly [attack: string, lang: string, code: string, ends: Ends, asks?: Asks]

/** A longer program, which says itself how it works */
const from = (name: string): string => readFileSync(join(import.meta.dir, 'hostile', name), 'utf8')

const told = (line: string) => expect.stringContaining(`\n[sandbox] ${line}`)
const timedOut: Ends = { status: 'TO', code: 137, message: 'Time limit exceeded', stderr: told('Time limit exceeded\n') }
const cpuExhausted: Ends = { status: 'TO', code: 137, message: 'CPU time limit exceeded', stderr: told('CPU time limit exceeded\n') }
const outOfMemory: Ends = { status: 'SG', code: 137, message: 'Out of memory', stderr: told('Out of memory\n') }
const tooMuchOutput: Ends = { status: 'OL', stderr: told('std') }
const fine: Ends = { status: null, code: 0, message: null }
const soon: Asks = { timeout: 1_500 }

const attacks: Readonly<Record<string, readonly Attack[]>> = {
  'spends time': [
    ['spins for ever', 'py', 'while True: pass', timedOut, soon],
    ['spins for ever', 'bash', 'while :; do :; done', timedOut, soon],
    ['spins for ever', 'node', 'for (;;);', timedOut, soon],
    ['spins for ever', 'js', 'for (;;);', timedOut, soon],
    [
      'spins in many threads',
      'node',
      'const { Worker } = require("worker_threads"); for (let n = 0; n < 8; n++) new Worker("for (;;);", { eval: true }); for (;;);',
      timedOut,
      soon,
    ],
    [
      'spends more CPU time than it has, in many processes',
      'bash',
      'for n in {1..20}; do (while :; do :; done) & done; wait',
      cpuExhausted,
    ],
    ['is caught in a regular expression', 'py', 'import re\nre.match("(a+)+$", "a" * 60 + "b")', timedOut, soon],
    [
      'ignores what it can be told',
      'py',
      'import signal, time\nfor n in (1, 2, 15, 24): signal.signal(n, signal.SIG_IGN)\ntime.sleep(60)',
      timedOut,
      soon,
    ],
    ['stops itself', 'bash', 'kill -STOP $$', timedOut, soon],
    ['closes its output and sleeps', 'bash', 'exec >&- 2>&- <&-; exec sleep 60', timedOut, soon],
    ['forks children that live for a moment', 'bash', 'while :; do /bin/true & done 2> /dev/null', timedOut, soon],
    ['leaves a child that holds its output open', 'bash', 'setsid sleep 60 & disown; echo gone', { ...fine, stdout: 'gone\n' }],
    ['is many processes that do not want to end', 'py', from('linger.py'), { ...fine, stdout: 'late\n', files: [{ name: 'late.txt' }] }],
  ],
  'fills memory': [
    ['takes ever more', 'py', 'b = []\nwhile True: b.append(bytearray(1 << 20))', outOfMemory],
    ['takes ever more', 'node', 'const b = []; for (;;) b.push(Buffer.alloc(1 << 20, 1))', outOfMemory],
    ['takes ever more', 'js', 'const b = []; for (;;) b.push(Buffer.alloc(1 << 20, 1))', outOfMemory],
    ['takes ever more', 'bash', 'a=x; while :; do a=$a$a; done', outOfMemory],
    [
      'takes ever more',
      'js',
      'const { buffer } = new WebAssembly.Memory({ initial: 8192 }); const b = new Uint8Array(buffer); for (let n = 0; n < b.length; n += 4096) b[n] = 1',
      outOfMemory,
    ],
    ['wants all at once', 'py', 'b = bytearray(1 << 50)', { status: null, code: 1, stderr: expect.stringContaining('MemoryError') }],
    ...['sockets', 'segments', 'messages', 'shared', 'files'].map(
      (kind): Attack => [`fills ${kind}`, 'py', from('memory.py'), outOfMemory, { args: [kind] }],
    ),
    [
      'fills pipes',
      'py',
      from('memory.py'),
      { status: null, code: 1, stderr: expect.stringContaining('Too many open files') },
      { args: ['pipes'] },
    ],
    ['fills children', 'py', from('memory.py'), { status: 'SG', message: 'Out of memory' }, { args: ['children'] }],
  ],
  'uses things up': [
    ['forks and forks', 'bash', 'b() { b | b & }; b 2> /dev/null; sleep 60', timedOut, soon],
    ['forks and forks', 'py', 'import os\nwhile True:\n  try: os.fork()\n  except OSError: pass', timedOut, soon],
    [
      'starts threads',
      'py',
      'import threading, time, os\ntry:\n  while True: threading.Thread(target=time.sleep, args=(60,)).start()\nexcept RuntimeError: os.write(1, b"no more")\nos._exit(0)',
      { ...fine, stdout: 'no more' },
    ],
    [
      'does not bury its dead',
      'py',
      'import os\nwhile os.fork(): pass\nos._exit(0)',
      { code: 1, stderr: expect.stringContaining('BlockingIOError') },
    ],
    [
      'opens files and files',
      'node',
      'const fs = require("fs"); try { for (;;) fs.openSync("/dev/null") } catch (e) { console.log(e.code) }',
      { ...fine, stdout: 'EMFILE\n' },
    ],
    [
      'writes a file without end',
      'bash',
      'cat /dev/zero > /mnt/data/big',
      { code: 1, files: [], stderr: told('1 file was not kept: big') },
    ],
    ['prints without end', 'py', 'while True: print("x" * 4096)', tooMuchOutput],
    ['prints without end', 'bash', 'yes', tooMuchOutput],
    [
      'prints without end and without lines',
      'node',
      'const b = Buffer.alloc(1 << 20, 120); for (;;) require("fs").writeSync(1, b)',
      tooMuchOutput,
    ],
    ['complains without end', 'js', 'const b = Buffer.alloc(1 << 20, 120); for (;;) require("fs").writeSync(2, b)', tooMuchOutput],
    [
      'prints what is no text',
      'py',
      'import os\nos.write(1, bytes(range(256)) + b"\\xed\\xa0\\x80\\x00\\x1b[2J" + "é".encode()[:1])',
      { ...fine, stdout: expect.stringContaining('\0\u0001\u0002') },
    ],
    ['makes as many files as it can', 'py', from('crowd.py'), { ...fine, stdout: 'No space left on device\n', stderr: told('16') }],
    ['nests directories as deep as it can', 'py', from('deep.py'), { ...fine, files: [], stderr: told('1 file was not kept: ddd') }],
  ],
  'lays traps for whoever reads its files': [
    ['has links where names are read carelessly', 'py', from('names.py'), { ...fine, files: [], stderr: told('8 files were not kept: ') }],
    [
      'names files as lines of ours',
      'py',
      from('lines.py'),
      { ...fine, files: [], stderr: expect.not.stringMatching(/^\[sandbox\] forged/m) },
    ],
    [
      'leaves one of every kind of file',
      'py',
      from('kinds.py'),
      { ...fine, stdout: '', files: [{ name: 'setuid' }, { name: 'shut/unreadable' }], stderr: told('10 files were not kept: ') },
    ],
    [
      'leaves a file larger than any disk',
      'bash',
      'truncate -s 1P big 2> /dev/null; stat -c %s big',
      { ...fine, stdout: '0\n', files: [{ name: 'big' }] },
    ],
    ['removes its workspace', 'bash', 'rm -rf /mnt/data/* /mnt/data/.*; rmdir /mnt/data', { code: 1, files: [] }],
    [
      'has directories for markers',
      'bash',
      'mkdir -p a/.dirkeep; ln -s /etc b; mkdir c; ln -s /etc/passwd c/.dirkeep; mkfifo d',
      { ...fine, files: [], stderr: told('') },
    ],
  ],
  'breaks out': [
    ['asks the kernel for what it is refused', 'py', from('kernel.py'), { ...fine, stdout: '', stderr: '' }],
    ['speaks to the kernel as a 32-bit program', 'py', from('thirty-two.py'), { ...fine, stdout: '31\n' }],
    ['ends the first process, or speaks for it', 'py', from('first.py'), { status: null, code: 7, stdout: '', signal: null }],
    ['kills everything it sees', 'bash', 'kill -KILL 1; kill -KILL -1; echo on', { ...fine, stdout: 'on\n' }],
    ['keeps its output open in a ring of sockets', 'py', from('cycle.py'), { ...fine, stdout: 'sent\n' }],
    [
      'writes to what all runs share',
      'bash',
      'for f in /x /usr/lib/python3/x /usr/bin/python3 /etc/ld.so.preload /opt/js/x /proc/self/oom_score_adj /proc/sys/kernel/core_pattern /sys/x /dev/x; do (: >> $f) 2> /dev/null && echo $f; done; true',
      { ...fine, stdout: '' },
    ],
    [
      'looks for programs that would run as another user',
      'bash',
      'find / -xdev -perm /6000 2> /dev/null; find /usr /opt -perm /6000',
      { ...fine, stdout: '' },
    ],
    ['dumps core', 'bash', 'ulimit -c unlimited; ulimit -c; sh -c "kill -SEGV \\$\\$"; ls', { stdout: '0\nscript.sh\n', files: [] }],
  ],
}

describe.skipIf(jailsMissing() !== null)('a program that', () => {
  let services: Services
  let pipesBefore = 0
  beforeAll(async () => {
    services = await startServices({ env: LIMITS })
    await canary(services.url)
    await leftNothing(services.instance)
    pipesBefore = openPipes()
  })
  afterAll(() => services[Symbol.asyncDispose]())

  const run = async (lang: string, code: string, more: Record<string, unknown> = {}): Promise<Answer> => {
    const answer = await exec(services.url, { lang, code, ...more })
    await leftNothing(services.instance)
    return answer
  }

  for (const [group, rows] of Object.entries(attacks)) {
    describe(group, () => {
      const named = rows.map(([attack, lang, ...rest]) => [`${attack} (${lang})`, lang, ...rest] as const)
      test.each(named)('%s', async (_name, lang, code, ends, asks = {}) => {
        const { status, body } = await run(lang, code, asks)
        expect(status).toBe(200)
        // of a file only its name is known beforehand
        const files = body.files.map(({ name }: { name: string }) => ({ name }))
        expect({ ...body, files }).toMatchObject(ends)
      })
    })
  }

  test('looks around finds nothing of the host, of the worker or of others', async () => {
    const { body } = await run('py', from('look.py'))
    expect(body).toMatchObject(fine)
    // it did look
    expect(body.stdout).toContain('/proc/1/cmdline')
    expect(body.stdout).toContain('/proc/self/mountinfo')
    const {
      CODEAPI_INTERNAL_SERVICE_TOKEN: token = '',
      CODEAPI_WORK_ORDER_PRIVATE_KEY: key = '',
      SANDBOX_STUB_PATH: stub = '',
    } = services.env
    for (const secret of [
      token,
      key.slice(30, 60),
      services.dataDir,
      services.redis.url,
      services.instance,
      stub,
      process.cwd(),
      hostname(),
    ]) {
      expect(secret).not.toBe('')
      expect(body.stdout).not.toContain(secret)
    }
  })

  test('leaves something for the next one leaves nothing', async () => {
    const places = ['/mnt/data/left', '/tmp/left', '/dev/shm/left', '/var/tmp/left', '/run/left']
    const leave = `for f in ${places.join(' ')}; do (echo left > $f) 2> /dev/null; done; ipcmk -M 4096 -Q -S 1 > /dev/null 2>&1; ls -d ${places.join(' ')} 2> /dev/null`
    expect((await run('bash', leave)).body.stdout).toContain('/dev/shm/left')
    const look = `ls -d ${places.join(' ')} 2> /dev/null; python3 -c '
import ctypes, os
libc = ctypes.CDLL(None)
print([call(0x1234, *rest) for call, rest in ((libc.shmget, (1, 0)), (libc.msgget, (0,)), (libc.semget, (1, 0)))])'`
    const make = `import ctypes
libc = ctypes.CDLL(None)
print([call(0x1234, *rest) >= 0 for call, rest in ((libc.shmget, (1, 0o1666)), (libc.msgget, (0o1666,)), (libc.semget, (1, 0o1666)))])`
    expect((await run('py', make)).body.stdout).toBe('[True, True, True]\n')
    expect((await run('bash', look)).body.stdout).toBe('[-1, -1, -1]\n')
  })

  test('puts something else where its inputs were gets no more back than it may have', async () => {
    const names = ['mapped.txt', 'linked.txt', 'piped.txt', 'directory.txt', 'in/passwd', 'in/hostname', 'kept.txt']
    const sent = (
      await upload(
        services.url,
        names.map((name) => ({ name, content: `of ${name}` })),
      )
    ).body
    const files = sent.files.map((file: { fileId: string; filename: string }) => reference(file, sent.storage_session_id))
    const { body } = await run('py', from('inputs.py'), { files })
    expect(body).toMatchObject({ ...fine, deleted_files: names.filter((name) => !['mapped.txt', 'kept.txt'].includes(name)) })
    const found = Object.fromEntries(body.files.map((file: { name: string }) => [file.name, file]))
    expect(found).toEqual({
      'mapped.txt': expect.objectContaining({ modified_from: { id: files[0].id, storage_session_id: files[0].storage_session_id } }),
      'kept.txt': expect.objectContaining({ inherited: true, id: files[6].id }),
      'directory.txt/.dirkeep': expect.anything(),
      'was/passwd': expect.anything(),
      'was/hostname': expect.anything(),
    })
    expect(await (await download(services.url, found['mapped.txt'])).text()).toBe('Xf mapped.txt')
    expect(await (await download(services.url, found['was/passwd'])).text()).toBe('of in/passwd')
  })

  test.each([
    ['nests its JSON deeply', `{"lang":"py","code":"","args":${'['.repeat(500_000)}${']'.repeat(500_000)}}`, 400],
    ['never closes its JSON', '['.repeat(5_000_000), 400],
    ['asks for a language that every object has', '{"lang":"__proto__","code":""}', 400],
    ['ends an argument early', JSON.stringify({ lang: 'py', code: '', args: ['a\0b'] }), 400],
    ['asks for a file outside', JSON.stringify({ lang: 'py', code: '', files: [{ ...foreignFile(), name: '../x' }] }), 400],
    ['asks for a file that is not its own', JSON.stringify({ lang: 'py', code: '', files: [foreignFile()] }), 403],
  ])('%s is told so', async (_name, body, status) => {
    expect((await exec(services.url, body)).status).toBe(status)
    await leftNothing(services.instance)
  })

  test('is none of these finds the worker as it was', async () => {
    const ready = await fetch(`${services.workerUrl}/ready`)
    expect(await ready.json()).toMatchObject({ ready: true, problem: null, running: 0 })
    await leftNothing(services.instance)
    await until('every pipe to a jail is closed', () => openPipes() <= pipesBefore, 5_000)
    await canary(services.url)
  })
})

function foreignFile() {
  return { id: 'f'.repeat(21), storage_session_id: 's'.repeat(21), resource_id: 'somebody', name: 'x', kind: 'agent' }
}

/** Pipes that this process, the worker, has open */
const openPipes = (): number => {
  const kinds = readdirSync('/proc/self/fd').map((descriptor) => {
    try {
      return readlinkSync(`/proc/self/fd/${descriptor}`)
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return ''
      throw error
    }
  })
  return kinds.filter((kind) => kind.startsWith('pipe:')).length
}

/** Programs in all languages that must be answered as ever, all at once */
const canary = async (url: string): Promise<void> => {
  const programs = { py: 'print(6 * 7)', bash: 'echo 42', node: 'console.log(42)', js: 'console.log(42)' }
  const answers = await Promise.all(Object.entries(programs).map(([lang, code]) => exec(url, { lang, code })))
  expect(answers.map(({ body }) => [body.stdout, body.stderr])).toEqual(answers.map(() => ['42\n', '']))
}
