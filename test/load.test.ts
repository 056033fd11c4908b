import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { keys } from '../worker/contract.ts'
import { leftNothing, mountsUnder, processes, until } from './machine.ts'
import { type Answer, download, exec, jailsMissing, reference, type Services, startServices, upload } from './services.ts'

const RUNS = 200
const AT_ONCE = 16

type Kind = { readonly body: (n: number) => Record<string, unknown>; check(answer: Answer, n: number): void | Promise<void> }

/** Open descriptors of this process, without its connections over TCP: those to the services stay open for a while, as they should */
const descriptors = (): number => {
  const tcp = new Set(
    ['tcp', 'tcp6'].flatMap((name) =>
      readFileSync(`/proc/self/net/${name}`, 'utf8')
        .split('\n')
        .map((line) => `socket:[${line.trim().split(/\s+/)[9]}]`),
    ),
  )
  const targetOf = (fd: string) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`)
    } catch {
      return null
    }
  }
  return readdirSync('/proc/self/fd').filter((fd) => {
    const target = targetOf(fd)
    return target !== null && !tcp.has(target)
  }).length
}

/** What this process holds, and what there is on the machine that jails could leave */
const held = (instance: string) => ({
  descriptors: descriptors(),
  mounts: mountsUnder(`/run/codeapi/${instance}`).length,
  children: processes().filter(({ pid }) => parentOf(pid) === process.pid).length,
})

const parentOf = (pid: number): number => {
  try {
    return Number(readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ')[1])
  } catch {
    return 0
  }
}

describe.skipIf(jailsMissing() !== null)(`${RUNS} runs, ${AT_ONCE} at a time`, () => {
  let services: Services
  beforeAll(async () => {
    services = await startServices()
  })
  afterAll(() => services[Symbol.asyncDispose]())

  test('are all right, and leave nothing', async () => {
    const content = 'a,b\n'.repeat(10_000)
    const { body: sent } = await upload(services.url, [{ name: 'in.csv', content }])
    const files = [reference(sent.files[0], sent.storage_session_id)]
    const prints = (lang: string, code: (n: number) => string): Kind => ({
      body: (n) => ({ lang, code: code(n) }),
      check: ({ body }, n) => expect(body).toMatchObject({ stdout: `${n}\n`, stderr: '', code: 0, files: [] }),
    })
    const kinds: readonly Kind[] = [
      prints('py', (n) => `print(${n})`),
      prints('bash', (n) => `echo ${n}`),
      prints('js', (n) => `console.log(${n})`),
      prints('ts', (n) => `const n: number = ${n}; console.log(n)`),
      prints('node', (n) => `console.log(${n})`),
      {
        body: (n) => ({ lang: 'py', code: `print(len(open('in.csv').read()))\nopen('out.txt', 'w').write('${n}')`, files }),
        check: async ({ body }, n) => {
          expect(body).toMatchObject({ stdout: `${content.length}\n`, stderr: '', code: 0 })
          const out = body.files.find(({ name }: { name: string }) => name === 'out.txt')
          expect(await (await download(services.url, out)).text()).toBe(String(n))
        },
      },
      {
        body: (n) => ({ lang: 'bash', code: `echo ${n}; mkdir d; echo ${n} | tee a.txt > d/b.txt; sleep 60 & exit 3` }),
        check: ({ body }, n) => {
          expect(body).toMatchObject({ stdout: `${n}\n`, code: 3 })
          expect(body.files.map(({ name }: { name: string }) => name).sort()).toEqual(['a.txt', 'd/b.txt'])
        },
      },
      {
        body: (n) => ({ lang: 'bash', code: `echo ${n}; sleep 60`, timeout: 1_000 }),
        check: ({ body }, n) => expect(body).toMatchObject({ stdout: `${n}\n`, status: 'TO', message: 'Time limit exceeded' }),
      },
      {
        body: (n) => ({ lang: 'py', code: `import os\nprint(${n}, flush=True)\nos.kill(os.getpid(), 9)` }),
        check: ({ body }, n) => expect(body).toMatchObject({ stdout: `${n}\n`, code: 137, signal: 'SIGKILL', status: null }),
      },
      {
        body: () => ({ lang: 'bash', code: 'yes' }),
        check: ({ body }) => expect(body).toMatchObject({ status: 'OL', code: 137 }),
      },
    ]

    const run = async (n: number): Promise<void> => {
      const kind = kinds[n % kinds.length] as Kind
      const answer = await exec(services.url, kind.body(n))
      expect(answer.status).toBe(200)
      await kind.check(answer, n)
    }
    // connections and buffers that stay are there before the count
    await Promise.all(Array.from({ length: AT_ONCE }, (_, n) => run(n)))
    const settled = async () => {
      await leftNothing(services.instance)
      Bun.gc(true)
      return held(services.instance)
    }
    const before = await settled()

    let next = 0
    const lane = async () => {
      while (next < RUNS) await run(next++)
    }
    await Promise.all(Array.from({ length: AT_ONCE }, lane))

    const isAsBefore = async () => Bun.deepEquals(await settled(), before)
    await until('all is as it was before', isAsBefore, 20_000).catch(async () => expect(await settled()).toEqual(before))
    expect(await services.redis.redis.xlen(keys.jobs)).toBe(0)
  })
})
