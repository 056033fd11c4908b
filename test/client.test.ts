import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type Client, type FileRef, startClient } from './client/start.ts'
import { jailsMissing, type Services, startServices } from './services.ts'

const FILE_SUMMARY = (files: number, images: number) =>
  `Session files: ${files} persisted file(s) are available in /mnt/data, including ${images} image(s).`
const names = (files: readonly { name: string }[]) => files.map(({ name }) => name).sort()
const byName = (files: readonly FileRef[], name: string): FileRef => {
  const found = files.find((file) => file.name === name)
  if (!found) throw new Error(`No ${name} among ${names(files).join(', ')}`)
  return found
}

/** What the client says to its model is its own text: these tests look for our words in it */
describe.skipIf(jailsMissing() !== null)('@librechat/agents', () => {
  let services: Services
  let client: Client
  beforeAll(async () => {
    services = await startServices()
    client = await startClient(services.url)
    process.stderr.write(`@librechat/agents runs on Node ${client.nodeVersion}\n`)
  })
  afterAll(async () => {
    await client?.[Symbol.asyncDispose]()
    await services?.[Symbol.asyncDispose]()
  })

  test('uploads a file, its tool reads it, and the output comes back byte by byte', async () => {
    const bytes = crypto.getRandomValues(new Uint8Array(60_000))
    const sent = await client.upload('input.bin', bytes)
    const talk = await client.conversation(sent)
    const code = "data = open('/mnt/data/input.bin', 'rb').read()\nopen('/mnt/data/output.bin', 'wb').write(data[::-1])\nprint(len(data))"
    const { content, status, artifact } = await talk.execute('py', code)
    expect({ content, status }).toEqual({ content: expect.stringMatching(/^stdout:\n60000\n\nGenerated files:/), status: 'success' })
    expect(content).toContain(FILE_SUMMARY(1, 0))
    const output = await client.download(byName(artifact.files, 'output.bin'))
    expect(output.bytes.equals(Buffer.from(bytes).reverse())).toBe(true)
  })

  test.each([
    ['py', 'import sys; print(sys.argv[1:])', "['a b', '$HOME']"],
    ['js', 'console.log(process.argv.slice(2))', '[ "a b", "$HOME" ]'],
    ['ts', 'const a: string[] = process.argv.slice(2); console.log(a.length)', '2'],
    ['bash', 'printf "<%s>" "$@"', '<a b><$HOME>'],
  ])('runs %s with arguments', async (lang, code, printed) => {
    const talk = await client.conversation()
    expect(await talk.execute(lang, code, { args: ['a b', '$HOME'] })).toMatchObject({
      status: 'success',
      content: `stdout:\n${printed}`,
      artifact: { session_id: expect.stringMatching(/^[\w-]{21}$/) },
    })
  })

  test('runs a command with its bash tool', async () => {
    const talk = await client.conversation()
    const { content, artifact } = await talk.bash("python3 - <<'E'\nprint(6 * 7)\nE\necho $1 | tee kept.txt", { args: ['seen'] })
    expect(content).toStartWith('stdout:\n42\nseen\n')
    expect((await client.download(byName(artifact.files, 'kept.txt'))).bytes.toString()).toBe('seen\n')
  })

  test('keeps reading an inherited file under the reference that it sent', async () => {
    const sent = await client.upload('table.csv', 'a,b\n1,2\n')
    const talk = await client.conversation(sent)
    const first = await talk.execute('py', "print(open('table.csv').read())")
    expect(first.artifact.files).toEqual([{ id: sent.id, storage_session_id: sent.storage_session_id, name: 'table.csv', inherited: true }])
    expect(first.content).not.toContain('Generated files')
    // what the client knew of the file and we did not send back is still there
    expect(first.files).toMatchObject([{ id: sent.id, kind: 'user', resource_id: 'local-test-user' }])
    expect((await talk.bash('cat table.csv')).content).toBe('stdout:\na,b\n1,2')
  })

  test('carries files from call to call: made, changed, inherited', async () => {
    const talk = await client.conversation(await client.upload('kept.txt', 'kept'), await client.upload('changed.txt', 'one'))
    const first = await talk.execute('py', "open('changed.txt', 'a').write(' two')\nopen('made.txt', 'w').write('made')")
    expect(first.content).toContain(FILE_SUMMARY(2, 0))
    expect(names(first.files)).toEqual(['changed.txt', 'kept.txt', 'made.txt'])

    const second = await talk.bash('head -c 99 kept.txt changed.txt made.txt; printf " three" >> changed.txt')
    expect(second.content).toContain('==> kept.txt <==\nkept\n==> changed.txt <==\none two\n==> made.txt <==\nmade')
    expect(second.content).toContain(FILE_SUMMARY(1, 0))
    expect(names(second.files)).toEqual(['changed.txt', 'kept.txt', 'made.txt'])
    for (const name of ['kept.txt', 'made.txt']) expect(byName(second.files, name).id).toBe(byName(first.files, name).id)

    expect((await talk.execute('js', "console.log(await Bun.file('changed.txt').text())")).content).toBe('stdout:\none two three')
    expect((await client.download(byName(second.files, 'changed.txt'))).bytes.toString()).toBe('one two three')
    // the earlier version is a file of its own
    expect((await client.download(byName(first.files, 'changed.txt'))).bytes.toString()).toBe('one two')
  })

  test('does not bring a deleted or renamed file back', async () => {
    const talk = await client.conversation(
      await client.upload('gone.txt', 'x'),
      await client.upload('old.txt', 'y'),
      await client.upload('stays.txt', 'z'),
    )
    const first = await talk.bash('rm gone.txt; mv old.txt new.txt')
    expect([...first.artifact.deleted_files].sort()).toEqual(['gone.txt', 'old.txt'])
    expect(names(first.files)).toEqual(['new.txt', 'stays.txt'])
    expect((await talk.bash('ls')).content).toBe('stdout:\nnew.txt\nscript.sh\nstays.txt')
    const last = await talk.bash('rm -f *.txt')
    expect(last.files).toEqual([])
    expect((await talk.execute('py', 'import os; print(sorted(os.listdir()))')).content).toBe("stdout:\n['main.py']")
  })

  test('keeps a file that a later turn makes again under a deleted name', async () => {
    const talk = await client.conversation(await client.upload('a.txt', 'first'))
    await talk.bash('rm a.txt')
    await talk.bash('printf second > a.txt')
    expect((await talk.bash('cat a.txt')).content).toBe('stdout:\nsecond')
  })

  test('delivers a plot of plt.show()', async () => {
    const talk = await client.conversation()
    const code = "import matplotlib.pyplot as plt\nplt.plot([1, 3, 2])\nplt.title('売上 2026')\nplt.show()\nprint('shown')"
    const { content, artifact } = await talk.execute('py', code)
    expect(content).toStartWith('stdout:\nshown\n')
    expect(content).not.toContain('stderr')
    expect(content).toContain(FILE_SUMMARY(1, 1))
    expect(names(artifact.files)).toEqual(['plot_1.png'])
    const { bytes, type } = await client.download(byName(artifact.files, 'plot_1.png'))
    expect({ type, signature: bytes.subarray(1, 4).toString() }).toEqual({ type: 'image/png', signature: 'PNG' })
    // the next plot does not take its name
    const next = await talk.execute('py', code)
    expect(names(next.files)).toEqual(['plot_1.png', 'plot_2.png'])
  })

  test.each([
    [
      'py',
      "raise ValueError('no such column: ü')",
      ['Traceback (most recent call last):', 'line 1, in <module>', 'ValueError: no such column: ü'],
    ],
    ['py', 'print(1', ["SyntaxError: '(' was never closed"]],
    ['js', "throw new TypeError('no such field')", ['TypeError: no such field']],
    ['ts', "throw new TypeError('no such field')", ['TypeError: no such field']],
    ['bash', 'no-such-command', ['line 1: no-such-command: command not found']],
    ['bash', 'grep x /dev/null', ['[sandbox] exited with code 1']],
    ['py', 'import sys; sys.exit(3)', ['[sandbox] exited with code 3']],
  ])('lets the model see how %s fails: %s', async (lang, code, seen) => {
    const talk = await client.conversation()
    const { content, status } = await talk.execute(lang, code)
    expect(status).toBe('success')
    for (const text of seen) expect(content).toContain(text)
  })

  test('keeps what a failed program wrote for the next call', async () => {
    const talk = await client.conversation()
    const first = await talk.execute('py', "open('part.csv', 'w').write('half')\nraise SystemExit('stopped')")
    expect(first.content).toContain('stderr:\nstopped')
    expect((await talk.bash('cat part.csv')).content).toBe('stdout:\nhalf')
  })

  test('lets the model see the time limit, and what came before it', async () => {
    const talk = await client.conversation()
    const { content, status } = await talk.execute('py', "print('before')\nwhile True: pass", { timeout: 1_000 })
    expect(status).toBe('success')
    expect(content).toStartWith('stdout:\nbefore\n')
    expect(content).toContain('[sandbox] Time limit exceeded')
  })

  test('lets the model see that memory ran out', async () => {
    const talk = await client.conversation()
    const { content } = await talk.execute('py', 'b = []\nwhile True: b.append(bytearray(10_000_000))')
    expect(content).toContain('[sandbox] Out of memory')
  })

  test('gets the beginning of 10 MB of stdout, and the model sees that it was cut', async () => {
    const talk = await client.conversation()
    const { content, status } = await talk.execute('py', "print('x' * 10_000_000)\nopen('after.txt', 'w').write('still run')")
    expect(status).toBe('success')
    expect(content).toStartWith(`stdout:\n${'x'.repeat(65_536)}\n`)
    expect(content).toContain('[sandbox] stdout length exceeded')
    expect((await talk.bash('cat after.txt')).content).toBe('stdout:\nstill run')
  })

  test('honours UTF-8 names in directories, both ways', async () => {
    const name = 'données/日本 語/résumé (1).csv'
    const sent = await client.upload(name, 'x\n')
    expect(sent.name).toBe(name)
    const talk = await client.conversation(sent)
    const made = 'données/日本 語/выход 🎉.txt'
    const { content, artifact } = await talk.execute(
      'py',
      `print(open(${JSON.stringify(name)}).read())\nopen(${JSON.stringify(made)}, 'w').write('ü')`,
    )
    expect(content).toStartWith('stdout:\nx\n')
    expect(names(artifact.files)).toEqual([made, name].sort())
    const { bytes, disposition } = await client.download(byName(artifact.files, made))
    expect(bytes.toString()).toBe('ü')
    expect(decodeURIComponent(/filename\*=UTF-8''(\S+)/i.exec(disposition)?.[1] ?? '')).toBe(made)
    expect((await talk.bash('find . -name "*.txt" -o -name "*.csv" | sort')).content).toBe(`stdout:\n./${name}\n./${made}`)
  })

  test('keeps a skill file as it is, and its reference whole', async () => {
    const fields = { kind: 'skill', id: 'skill-1', version: '3', read_only: 'true' }
    const sent = await client.upload('skills/report/SKILL.md', '# Report', fields)
    const talk = await client.conversation(sent)
    const first = await talk.bash('cat skills/report/SKILL.md; echo mine > skills/report/SKILL.md; rm -r skills')
    expect(first.content).toStartWith('stdout:\n# Report')
    expect(first.files).toMatchObject([{ id: sent.id, kind: 'skill', version: 3, resource_id: 'skill-1' }])
    expect((await talk.bash('cat skills/report/SKILL.md')).content).toBe('stdout:\n# Report')
  })

  test('calls many tools at once in a turn, and has the files of all of them in the next', async () => {
    const talk = await client.conversation(await client.upload('shared.txt', 'shared'))
    const calls = Array.from({ length: 6 }, (_, index) =>
      index % 2 === 0
        ? {
            name: 'execute_code' as const,
            args: { lang: 'py', code: `print(open('shared.txt').read(), ${index})\nopen('made_${index}.txt', 'w').write('${index}')` },
          }
        : { name: 'bash_tool' as const, args: { command: `echo "$(cat shared.txt) ${index}"; printf ${index} > made_${index}.txt` } },
    )
    const { results, files } = await talk.turn(...calls)
    for (const [index, { content }] of results.entries()) expect(content).toStartWith(`stdout:\nshared ${index}\n`)
    const made = calls.map((_, index) => `made_${index}.txt`)
    expect(names(files)).toEqual([...made, 'shared.txt'])
    expect((await talk.bash('cat made_*.txt')).content).toBe('stdout:\n012345')
  })

  test('tells its model what to do about a request that is wrong', async () => {
    const talk = await client.conversation()
    const { content, status } = await talk.execute('r', 'print(1)')
    expect(status).toBe('error')
    expect(content).toContain('The code execution request was rejected. Please check the tool input and try again.')
  })
})
