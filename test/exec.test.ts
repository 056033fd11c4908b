import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { download, exec, jailsMissing, reference, type Services, startServices, upload } from './services.ts'

const absent = { id: 'a'.repeat(21), resource_id: 'u', storage_session_id: 'b'.repeat(21), name: 'gone.csv', kind: 'user' }

describe.skipIf(jailsMissing() !== null)('POST /v1/exec', () => {
  let services: Services
  beforeAll(async () => {
    services = await startServices()
  })
  afterAll(() => services[Symbol.asyncDispose]())
  const run = (body: unknown) => exec(services.url, body)

  test.each([
    ['py', 'print(6 * 7)'],
    ['python', 'print(6 * 7)'],
    ['PY', 'print(6 * 7)'],
    ['js', 'console.log(6 * 7)'],
    ['bun', 'console.log(6 * 7)'],
    ['ts', 'const answer: number = 6 * 7\nconsole.log(answer)'],
    ['node', 'console.log(6 * 7)'],
    ['bash', 'echo $((6 * 7))'],
    ['sh', 'echo $((6 * 7))'],
  ])('runs lang %s', async (lang, code) => {
    expect(await run({ lang, code })).toMatchObject({
      status: 200,
      body: {
        stdout: '42\n',
        stderr: '',
        code: 0,
        signal: null,
        message: null,
        status: null,
        files: [],
        session_id: expect.stringMatching(/^[\w-]{21}$/),
      },
    })
  })

  test('passes arguments on as they are', async () => {
    const args = ['a b', '$HOME', '-x', "'", '', 'ü']
    expect((await run({ lang: 'py', code: 'import sys, json; print(json.dumps(sys.argv[1:]))', args })).body.stdout).toBe(
      `${JSON.stringify(args, null, 0).replaceAll('","', '", "').replace('ü', '\\u00fc')}\n`,
    )
  })

  test('reports CPU time and peak memory of the program', async () => {
    const { body } = await run({ lang: 'py', code: 'b = bytearray(50_000_000); sum(range(3_000_000))' })
    expect(body.cpu_time).toBeGreaterThan(0)
    expect(body.memory).toBeGreaterThan(50_000_000)
  })

  test('gives an uploaded file to the program and echoes it as inherited', async () => {
    const { body: sent } = await upload(services.url, [{ name: 'data/säle.csv', content: 'a,b\n1,2\n' }])
    expect(sent).toMatchObject({ message: 'success', files: [{ filename: 'data/säle.csv' }] })
    const ref = reference(sent.files[0], sent.storage_session_id)
    const { body } = await run({ lang: 'py', code: "print(open('/mnt/data/data/säle.csv').read(), end='')", files: [ref] })
    expect(body).toMatchObject({ stdout: 'a,b\n1,2\n', stderr: '' })
    expect(body.files).toEqual([{ id: ref.id, storage_session_id: ref.storage_session_id, name: 'data/säle.csv', inherited: true }])
  })

  test('gives a changed input a new id, and says which it was', async () => {
    const { body: sent } = await upload(services.url, [{ name: 'a.txt', content: 'one' }])
    const ref = reference(sent.files[0], sent.storage_session_id)
    const { body } = await run({ lang: 'bash', code: 'echo two >> a.txt', files: [ref] })
    expect(body.files).toEqual([
      {
        id: expect.not.stringMatching(ref.id as string),
        storage_session_id: body.session_id,
        name: 'a.txt',
        modified_from: { id: ref.id, storage_session_id: ref.storage_session_id },
      },
    ])
    expect(await (await download(services.url, body.files[0])).text()).toBe('onetwo\n')
    const again = await run({ lang: 'bash', code: 'cat a.txt', files: [reference(body.files[0])] })
    expect(again.body.stdout).toBe('onetwo\n')
  })

  test('names the inputs that the program deleted', async () => {
    const { body: sent } = await upload(services.url, [{ name: 'old.txt', content: 'x' }])
    const { body } = await run({ lang: 'bash', code: 'mv old.txt new.txt', files: [reference(sent.files[0], sent.storage_session_id)] })
    expect(body).toMatchObject({ deleted_files: ['old.txt'], files: [{ name: 'new.txt' }] })
  })

  test('keeps the content of a read-only input, whatever the program does', async () => {
    const { body: sent } = await upload(services.url, [{ name: 'skill.md', content: 'kept' }], { kind: 'user', read_only: 'true' })
    const ref = reference(sent.files[0], sent.storage_session_id)
    const { body } = await run({ lang: 'bash', code: 'rm -f skill.md; echo mine > skill.md', files: [ref] })
    expect(body.files).toEqual([{ id: ref.id, storage_session_id: ref.storage_session_id, name: 'skill.md', inherited: true }])
    expect(body.deleted_files).toBeUndefined()
  })

  test('runs a program beside an input of the same name', async () => {
    const { body: sent } = await upload(services.url, [{ name: 'main.py', content: 'VALUE = 5' }])
    const files = [reference(sent.files[0], sent.storage_session_id)]
    expect((await run({ lang: 'py', code: 'import main; print(main.VALUE)', files })).body).toMatchObject({
      stdout: '5\n',
      files: [{ name: 'main.py', inherited: true }],
    })
  })

  test('keeps files of every kind, in directories, and can be asked for each at once', async () => {
    const code = 'mkdir -p a/b empty; echo 1 > a/b/c.txt; echo 2 > noextension; echo 3 > x.sqlite; : > zero.bin; echo 4 > .hidden'
    const { body } = await run({ lang: 'bash', code })
    expect(body.files.map((file: { name: string }) => file.name).sort()).toEqual([
      '.hidden',
      'a/b/c.txt',
      'empty/.dirkeep',
      'noextension',
      'x.sqlite',
      'zero.bin',
    ])
    for (const file of body.files) expect((await download(services.url, file)).status).toBe(200)
    expect(body.stderr).toBe('')
  })

  test('names what it does not keep, with the reason', async () => {
    const code =
      "ln -s /etc/passwd link; mkfifo pipe; mkdir -p .git/x; head -c 30000000 /dev/zero > big.bin; printf x > $'bad\\xff'; printf y > $'new\\nline'"
    const { body } = await run({ lang: 'bash', code })
    expect(body.files).toEqual([])
    expect(body.stderr).toStartWith('\n[sandbox] 6 files were not kept: ')
    const more = await run({ lang: 'bash', code: 'for i in $(seq 53); do echo $i > f$i; done' })
    expect(more.body.files).toHaveLength(50)
    expect(more.body.stderr).toContain('[sandbox] 3 files were not kept: ')
    expect(more.body.stderr).toContain('more than 50 files')
  })

  test('keeps what a failed program wrote', async () => {
    const { body } = await run({ lang: 'py', code: "open('part.txt', 'w').write('half')\nraise SystemExit(3)" })
    expect(body).toMatchObject({ code: 3, files: [{ name: 'part.txt' }], stderr: '\n[sandbox] exited with code 3\n' })
  })

  test.each([
    ['an exception', { lang: 'py', code: '1/0' }, { code: 1, status: null, message: null }],
    [
      'a segmentation fault',
      { lang: 'py', code: 'import os; os.kill(os.getpid(), 11)' },
      { code: 139, signal: 'SIGSEGV', status: null, stderr: '\n[sandbox] killed by SIGSEGV\n' },
    ],
    [
      'a time limit',
      { lang: 'py', code: 'print(1)\nwhile True: pass', timeout: 700 },
      {
        code: 137,
        signal: 'SIGKILL',
        status: 'TO',
        message: 'Time limit exceeded',
        stdout: '1\n',
        stderr: '\n[sandbox] Time limit exceeded\n',
      },
    ],
    ['a sleep past the limit', { lang: 'bash', code: 'sleep 99', timeout: 500 }, { status: 'TO' }],
    [
      'want of memory',
      { lang: 'py', code: 'b = []\nwhile True: b.append(bytearray(10_000_000))' },
      { code: 137, status: 'SG', message: 'Out of memory', stderr: '\n[sandbox] Out of memory\n' },
    ],
    [
      'too much output',
      { lang: 'py', code: "print('x' * 10_000_000)" },
      { code: 0, status: 'OL', message: 'stdout length exceeded', stdout: 'x'.repeat(65_536) },
    ],
    ['endless output', { lang: 'bash', code: 'yes' }, { code: 137, status: 'OL', message: 'stdout length exceeded' }],
    [
      'too much on stderr',
      { lang: 'py', code: "import sys; sys.stderr.write('x' * 100_000); print('end')" },
      { code: 0, status: null, message: 'stderr truncated at 65536 bytes', stdout: 'end\n' },
    ],
    ['a full disk', { lang: 'bash', code: 'head -c 300000000 /dev/zero > big' }, { code: 1, status: null }],
    ['exit code 255', { lang: 'bash', code: 'exit 255' }, { code: 255, status: null }],
  ])('tells a program that ends by %s', async (_how, body, answer) => {
    expect(await run(body)).toMatchObject({ status: 200, body: answer })
  })

  test('plt.show() gives numbered images', async () => {
    const code = 'import matplotlib.pyplot as plt\nfor n in range(2):\n    plt.plot([1, n])\n    plt.title("図 1")\n    plt.show()\n'
    const { body } = await run({ lang: 'py', code })
    expect(body).toMatchObject({ stderr: '', code: 0 })
    expect(body.files.map((file: { name: string }) => file.name)).toEqual(['plot_1.png', 'plot_2.png'])
    expect((await download(services.url, body.files[0])).headers.get('content-type')).toBe('image/png')
  })

  test('bash finds python3, node and bun', async () => {
    const { body } = await run({ lang: 'bash', code: "python3 - <<'E'\nprint(1)\nE\nnode -p 2\nbun -e 'console.log(3)'" })
    expect(body).toMatchObject({ stdout: '1\n2\n3\n', stderr: '' })
  })

  test('runs a program of 30 MB, which does not count as what it writes', async () => {
    const code = `# ${'x'.repeat(30_000_000)}\nopen('f', 'wb').write(bytes(250_000_000)); print('ok')`
    expect((await run({ lang: 'py', code })).body).toMatchObject({ stdout: 'ok\n', code: 0 })
  })

  test('does not wait for what a program leaves in the background', async () => {
    const { body } = await run({ lang: 'bash', code: 'sleep 60 & (setsid sleep 60 &) ; echo done', timeout: 20_000 })
    expect(body).toMatchObject({ stdout: 'done\n', code: 0, status: null })
  })

  test.each([
    ['malformed JSON', '{', 400, { error: 'Malformed JSON' }],
    ['no object', '[]', 400, { error: 'Missing required field: lang' }],
    ['no lang', { code: 'x' }, 400, { error: 'Missing required field: lang' }],
    ['no code', { lang: 'py' }, 400, { error: 'Missing required field: code' }],
    ['an unknown language', { lang: 'cobol', code: 'x' }, 400, { error: 'Unsupported language: cobol' }],
    [
      'args that are no strings',
      { lang: 'py', code: '', args: [1] },
      400,
      { error: 'bad_request', message: 'args must be an array of strings if provided' },
    ],
    [
      'args that no program can be given',
      { lang: 'py', code: '', args: ['x'.repeat(140_000)] },
      400,
      { error: 'bad_request', message: expect.stringContaining('send a file') },
    ],
    ['files that are no array', { lang: 'py', code: '', files: {} }, 400, { error: 'files must be an array' }],
    ['a file that is no object', { lang: 'py', code: '', files: ['x'] }, 400, { error: 'files[0] must be an object' }],
    [
      'a path out of the workspace',
      { lang: 'py', code: '', files: [{ ...absent, name: '../x' }] },
      400,
      { error: 'files[].name must not contain empty, current, or parent path segments' },
    ],
    [
      'an absent file',
      { lang: 'py', code: '', files: [absent] },
      403,
      { error: 'Unauthorized file reference', message: 'files[0] (gone.csv) is missing or expired' },
    ],
    [
      'a file in the way of another',
      { lang: 'py', code: '', files: [absent, { ...absent, name: 'gone.csv/x' }] },
      400,
      { error: 'bad_request' },
    ],
    ['a timeout that is none', { lang: 'py', code: '', timeout: -1 }, 400, { error: 'bad_request' }],
  ])('refuses %s', async (_what, body, status, answer) => {
    expect(await run(body)).toMatchObject({ status, body: answer })
  })

  test('ignores fields that it does not know, and null', async () => {
    expect(
      await run({ lang: 'py', code: 'print(1)', files: null, args: null, user_id: 'x', session_id: 'y', runtime_session_hint: '!!' }),
    ).toMatchObject({ status: 200 })
  })
})
