import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CATALOG_FILE, type Catalog } from '../../init/contract.ts'
import { leftNothing, processes, processesWith, tracesOf, until } from '../../test/machine.ts'
import { jailsMissing } from '../../test/services.ts'
import { leaseInstance } from '../instance.ts'
import type { Cell, Jail } from '../jail.ts'
import type { Limits } from '../limits.ts'
import type { Outcome } from '../outcome.ts'
import { composeRoot } from '../root.ts'
import { JailError } from './cell.ts'
import { openNsjail } from './nsjail.ts'

const MIB = 1024 * 1024
const LIMITS: Limits = {
  wallMs: 20_000,
  cpuMs: 20_000,
  cpus: 2,
  memoryBytes: 128 * MIB,
  diskBytes: 8 * MIB,
  outputChars: 10_000,
  pids: 40,
  openFiles: 100,
}
const ENV = { PATH: '/usr/local/bin:/usr/bin:/bin', HOME: '/mnt/data' }

describe.skipIf(jailsMissing() !== null)('a cell', () => {
  const undo = new AsyncDisposableStack()
  let jail: Jail
  let root = ''
  let name = ''
  beforeAll(async () => {
    const volume = Bun.env.CODEAPI_TEST_PACKAGES ?? ''
    const { packages }: Catalog = JSON.parse(readFileSync(join(volume, CATALOG_FILE), 'utf8'))
    const instance = undo.use(await leaseInstance('/run/codeapi'))
    const binaries = {
      nsjail: Bun.env.NSJAIL_PATH ?? '',
      launch: Bun.env.SANDBOX_LAUNCH_PATH ?? '',
      stub: Bun.env.SANDBOX_STUB_PATH ?? '',
    }
    jail = undo.use(openNsjail({ binaries, instance }))
    const parts = packages.map(({ artifact, mountPoint }) => ({ image: join(volume, artifact), mountPoint }))
    root = undo.use(await composeRoot(parts, join(instance.directory, 'root'))).path
    name = instance.name
  })
  afterAll(() => undo.disposeAsync())

  const runIn = (cell: Cell, argv: readonly [string, ...string[]], limits: Partial<Limits> = {}, signal?: AbortSignal) =>
    cell.run({ argv, env: ENV, limits: { ...LIMITS, ...limits }, ...(signal && { signal }) })
  const run = async (argv: readonly [string, ...string[]], limits: Partial<Limits> = {}): Promise<Outcome> => {
    await using cell = await jail.open(root, { ...LIMITS, ...limits })
    return await runIn(cell, argv, limits)
  }
  const bash = (code: string, limits?: Partial<Limits>) => run(['/bin/bash', '-c', code], limits)
  const python = (code: string, limits?: Partial<Limits>) => run(['/usr/bin/python3', '-c', code], limits)

  test.each([
    ['exit 0', { status: 'exited', exitCode: 0, signal: null }],
    ['exit 3', { status: 'exited', exitCode: 3, signal: null }],
    ['exit 255', { status: 'exited', exitCode: 255, signal: null }],
    ['kill -SEGV $$', { status: 'signalled', exitCode: 139, signal: 'SIGSEGV' }],
    ['kill -TERM $$', { status: 'signalled', exitCode: 143, signal: 'SIGTERM' }],
    ['kill -KILL $$', { status: 'signalled', exitCode: 137, signal: 'SIGKILL', oomKills: 0 }],
    ['kill -KILL 0', { status: 'signalled', exitCode: 137, signal: 'SIGKILL', oomKills: 0 }],
    ['kill -KILL -1; exit 4', { status: 'exited', exitCode: 4 }],
    ['kill -XCPU $$', { status: 'cpu-exhausted', signal: 'SIGXCPU' }],
    ['exec >&- 2>&- <&-; exit 5', { status: 'exited', exitCode: 5 }],
  ] as const)('reports `%s`', async (code, ending) => {
    expect(await bash(code)).toMatchObject(ending)
  })

  describe('has a limit of', () => {
    test('wall time', async () => {
      const outcome = await bash('echo before; sleep 60', { wallMs: 300 })
      expect(outcome).toMatchObject({ status: 'timed-out', exitCode: 137, signal: 'SIGKILL', stdout: { text: 'before\n' } })
      expect(outcome.wallMs).toBeGreaterThanOrEqual(300)
    })

    test('CPU time, of all processes together', async () => {
      const outcome = await bash('for i in 1 2 3; do (while :; do :; done) & done; wait', { cpuMs: 500 })
      expect(outcome).toMatchObject({ status: 'cpu-exhausted', exitCode: 137 })
      expect(outcome.cpuMs).toBeGreaterThanOrEqual(500)
    })

    test('CPUs', async () => {
      const { cpuMs, wallMs } = await bash('for i in 1 2; do (while :; do :; done) & done; wait', { cpus: 0.2, wallMs: 2_000 })
      expect(cpuMs).toBeLessThan(wallMs * 0.5)
    })

    test('memory, told apart from a plain kill', async () => {
      const ending = { status: 'out-of-memory', exitCode: 137, signal: 'SIGKILL' }
      const outcome = await python('b = []\nwhile True: b.append(bytearray(1_000_000))')
      expect(outcome).toMatchObject(ending)
      expect(outcome.oomKills).toBeGreaterThan(0)
      expect(outcome.memoryBytes).toBeGreaterThan(LIMITS.memoryBytes)
      expect(await python('import os\nos.kill(os.getpid(), 9)')).toMatchObject({ ...ending, status: 'signalled', oomKills: 0 })
    })

    test('memory, which a program may survive when only a child of it hits it', async () => {
      const child = 'b = []\nwhile True: b.append(bytearray(1_000_000))'
      const outcome = await bash(`python3 -c '${child}'; echo "child: $?"`)
      expect(outcome).toMatchObject({ status: 'exited', exitCode: 0, stdout: { text: 'child: 137\n' } })
      expect(outcome.oomKills).toBeGreaterThan(0)
    })

    test('memory, files in /tmp and /dev/shm included', async () => {
      const fill = 'for n in 1 2 3 4; do head -c 15000000 /dev/zero | tee /tmp/$n > /dev/shm/$n; done'
      expect((await bash(`${fill}; echo kept`)).oomKills).toBe(0)
      expect((await bash(`${fill}; python3 -c "len(b'x' * 60_000_000)"`)).oomKills).toBeGreaterThan(0)
    })

    test('processes and threads', async () => {
      const code = `
import threading, time
n = 0
try:
    while True:
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        n += 1
except RuntimeError:
    print(n, flush=True)
import os
os._exit(0)`
      const { stdout } = await python(code)
      expect(Number(stdout.text)).toBeLessThanOrEqual(LIMITS.pids)
      expect(Number(stdout.text)).toBeGreaterThan(LIMITS.pids - 5)
      const bomb = await bash('bomb() { bomb | bomb & }; bomb 2> /dev/null; sleep 60', { wallMs: 1_000 })
      expect(bomb.status).toBe('timed-out')
    })

    test('disk, inputs not counted', async () => {
      await using cell = await jail.open(root, LIMITS)
      cell.makeRoom(20 * MIB)
      writeFileSync(join(cell.workspace, 'input'), new Uint8Array(20 * MIB))
      const { stdout, stderr } = await runIn(cell, ['/bin/bash', '-c', 'head -c 99000000 /dev/zero > big; stat -c %s big'])
      expect(stderr.text).toContain('No space left on device')
      expect(Number(stdout.text)).toBeWithin(7 * MIB, 9 * MIB)
    })

    test('files', async () => {
      const code =
        "import os\nn = 0\ntry:\n    while True:\n        open(f'f{n}', 'w').close()\n        n += 1\nexcept OSError as e:\n    print(n, e.errno)"
      const [made, errno] = (await python(code)).stdout.text.split(' ').map(Number)
      expect(errno).toBe(28)
      expect(made).toBeWithin(10_000, 16_385)
    })

    test('open files', async () => {
      const code =
        "import os\nf = []\ntry:\n    while True: f.append(os.open('/dev/null', 0))\nexcept OSError as e:\n    print(len(f) + 3, e.errno)"
      expect((await python(code)).stdout.text).toBe(`${LIMITS.openFiles} 24\n`)
    })

    test('output: the rest is dropped, an endless one ends the program', async () => {
      expect(await python('print("ü" * 20_000)')).toMatchObject({
        status: 'output-limit',
        exitCode: 0,
        stdout: { text: 'ü'.repeat(10_000), truncated: true },
      })
      expect(await bash('yes >&2')).toMatchObject({ status: 'output-limit', exitCode: 137, stderr: { truncated: true } })
    })
  })

  test('leaves no process, however it hides', async () => {
    const marker = `7${process.pid}.${Date.now()}`
    const hide = `sleep ${marker} & (setsid sleep ${marker} &) ; (trap '' TERM HUP INT; sleep ${marker}) & nohup sleep ${marker} > /dev/null 2>&1 &`
    const outcome = await bash(`${hide} disown -a; while [ $(pgrep -c sleep) -lt 4 ]; do :; done; echo up`)
    expect(outcome).toMatchObject({ status: 'exited', exitCode: 0, stdout: { text: 'up\n' } })
    expect(processesWith(marker)).toEqual([])
    await leftNothing(name)
  })

  test('is one of 64 at once', async () => {
    const outcomes = await Promise.all(Array.from({ length: 64 }, (_, n) => bash(`echo ${n} > f; id -u; cat f`)))
    expect(outcomes.map(({ stdout }) => stdout.text)).toEqual(Array.from({ length: 64 }, (_, n) => `1000\n${n}\n`))
    await leftNothing(name)
  })

  test('may be given up without a run', async () => {
    {
      await using cell = await jail.open(root, LIMITS)
      expect(existsSync(cell.workspace)).toBe(true)
      expect(tracesOf(name).cgroups).not.toEqual([])
    }
    await leftNothing(name)
  })

  test('runs one program, and no second', async () => {
    await using cell = await jail.open(root, LIMITS)
    expect((await runIn(cell, ['/bin/bash', '-c', 'exit 1'])).exitCode).toBe(1)
    expect(async () => await runIn(cell, ['/bin/bash', '-c', 'exit 2'])).toThrow(JailError)
  })

  test('that cannot start its program says why', async () => {
    await using cell = await jail.open(root, LIMITS)
    expect(async () => await runIn(cell, ['/bin/nothing'])).toThrow('Cannot start /bin/nothing: ENOENT')
  })

  test('whose root is no root says why, and leaves nothing', async () => {
    expect(async () => await jail.open('/nowhere', LIMITS)).toThrow(/^Cannot open a jail: .*mount mandatory point: '\/'/s)
    await leftNothing(name)
  })

  test('that died while it waited for its program is our failure, not the program’s', async () => {
    await using cell = await jail.open(root, LIMITS)
    for (const { pid } of processes().filter(({ uid }) => uid === cell.uid)) process.kill(pid, 'SIGKILL')
    await until('it is dead', () => !processes().some(({ uid, ended }) => uid === cell.uid && !ended))
    expect(async () => await runIn(cell, ['/bin/true'])).toThrow('Cannot start /bin/true: its jail has died')
  })

  test('ends when it is cancelled, before or while it runs', async () => {
    const cancelled = { status: 'cancelled', exitCode: 137 }
    // often, as it may die before, while or after it is told what to run
    for (let n = 0; n < 20; n++) {
      await using cell = await jail.open(root, LIMITS)
      expect(await runIn(cell, ['/bin/sleep', '60'], {}, AbortSignal.abort())).toMatchObject(cancelled)
    }
    const marker = `6${process.pid}.${Date.now()}`
    const stop = new AbortController()
    await using cell = await jail.open(root, LIMITS)
    const ended = runIn(cell, ['/bin/sleep', marker], {}, stop.signal)
    await until('it runs', () => processesWith(marker).length > 0)
    stop.abort()
    expect(await ended).toMatchObject(cancelled)
    expect(processesWith(marker)).toEqual([])
  })

  describe('shows its program', () => {
    const look = `
import json, os, socket
def attempt(what):
    try:
        return str(what())
    except OSError as e:
        return e.strerror
status = dict(line.rstrip().split(':', 1) for line in open('/proc/self/status'))
print(json.dumps({
    'capabilities': [int(status[name], 16) for name in ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb')],
    'noNewPrivileges': int(status['NoNewPrivs']),
    'seccomp': int(status['Seccomp']),
    'ids': [*os.getresuid(), *os.getresgid()],
    'groups': os.getgroups(),
    'descriptors': [int(fd) for fd in os.listdir('/proc/self/fd') if os.path.exists(f'/proc/self/fd/{fd}')],
    'processes': sorted(int(n) for n in os.listdir('/proc') if n.isdigit()),
    'others': [n for n in os.listdir('/proc') if not n.isdigit()],
    'pid': os.getpid(),
    'cwd': os.getcwd(),
    'hostname': socket.gethostname(),
    'environment': sorted(os.environ),
    'internet': attempt(lambda: socket.socket(socket.AF_INET)),
    'netlink': attempt(lambda: socket.socket(socket.AF_NETLINK)),
    'writes': [attempt(lambda: open(path, 'w').close()) for path in ('/x', '/usr/x', '/etc/x', '/mnt/x', '/dev/x', '/proc/self/comm', '/tmp/x', '/dev/shm/x', '/mnt/data/x')],
    'nested': attempt(lambda: os.unshare(os.CLONE_NEWUSER)),
}))`
    test('no privilege, no network, no other process, no file but its own', async () => {
      const { stdout, stderr } = await python(look)
      expect(stderr.text).toBe('')
      expect(JSON.parse(stdout.text)).toEqual({
        capabilities: [0, 0, 0, 0, 0],
        noNewPrivileges: 1,
        seccomp: 2,
        ids: [1000, 1000, 1000, 1000, 1000, 1000],
        groups: expect.not.arrayContaining([0]),
        descriptors: [0, 1, 2],
        processes: [1, 2],
        others: expect.not.arrayContaining(['sys', 'cpuinfo', 'meminfo', 'kcore', 'keys', 'net']),
        pid: 2,
        cwd: '/mnt/data',
        hostname: 'sandbox',
        environment: expect.arrayContaining(Object.keys(ENV)),
        internet: 'Operation not permitted',
        netlink: 'Operation not permitted',
        writes: [...Array(5).fill('Read-only file system'), 'Read-only file system', 'None', 'None', 'None'],
        nested: 'Operation not permitted',
      })
    })

    test('a PID 1 that it can neither stop nor read, and no way to speak in its name', async () => {
      const attack = `
import ctypes, os, struct
for signal in range(1, 65):
    try: os.kill(1, signal)
    except OSError: pass
for name in ('mem', 'environ', 'maps', 'fd/3', 'fd', 'stack', 'syscall', 'auxv'):
    try:
        path = f'/proc/1/{name}'
        print('read', name, os.listdir(path) if name == 'fd' else open(path, 'rb').read(1))
    except OSError as e: pass
libc = ctypes.CDLL(None, use_errno=True)
print('ptrace', libc.ptrace(16, 1, 0, 0), 'getfd', libc.syscall(438, libc.syscall(434, 1, 0), 3, 0))
print('vm', libc.syscall(310, 1, 0, 0, 0, 0, 0))
for fd in range(3, 100):
    try: os.write(fd, struct.pack('II', ord('E'), 0)); print('wrote', fd)
    except OSError: pass
raise SystemExit(7)`
      const outcome = await python(attack)
      expect(outcome).toMatchObject({ status: 'exited', exitCode: 7, stdout: { text: 'ptrace -1 getfd -1\nvm -1\n' } })
    })
  })
})
