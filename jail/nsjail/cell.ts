import { closeSync, fchownSync, rmSync, writeFileSync } from 'node:fs'
import { getSystemErrorName } from 'node:util'
import { capture } from '../capture.ts'
import type { Cgroup } from '../cgroup/cgroup.ts'
import type { Cell, Program } from '../jail.ts'
import type { Limits } from '../limits.ts'
import { endingOf, type KillReason, type Outcome } from '../outcome.ts'
import { openPipe, openSocketPair } from '../syscalls.ts'
import type { Unmounter } from '../unmount.ts'
import { openWorkspace, type Workspace } from '../workspace.ts'
import { nsjailConfig } from './config.ts'
import { type Control, openControl } from './control.ts'

const MIB = 1024 * 1024
/** nsjail and the stub, beside the program's own processes */
const OWN_PIDS = 2
/** The stub's and nsjail's memory is the job's, too */
const OWN_MEMORY_BYTES = 8 * MIB
const SCRATCH_BYTES = 64 * MIB
/** Output beyond what is kept is read and dropped up to here; then the program is ended */
const DRAIN_BYTES = 64 * MIB
const OPEN_DEADLINE_MS = 10_000
/** How often CPU time is compared with its limit, in `ms` */
const CPU_CHECK_MS = 200
const SET_UP_MESSAGE_CHARS = 4_000

export type Binaries = { readonly nsjail: string; readonly launch: string; readonly stub: string }

export type CellOptions = {
  readonly binaries: Binaries
  readonly root: string
  readonly uid: number
  /** Path on the host for the workspace and nsjail's configuration; nothing is there yet */
  readonly place: string
  readonly cgroup: Cgroup | null
  readonly unmounter: Unmounter
  readonly limits: Pick<Limits, 'pids' | 'openFiles' | 'diskBytes'>
  /** Called once everything is gone */
  readonly onClose: () => void
}

/** A jail that could not be set up: our failure, not the program's */
export class JailError extends Error {
  override readonly name = 'JailError'
}

/** Opens a jail as far as its first process, which waits for a program */
export const openCell = async (options: CellOptions): Promise<Cell> => {
  await using undo = new AsyncDisposableStack()
  undo.defer(options.onClose)
  const { cgroup, uid, limits } = options
  if (cgroup) undo.defer(() => cgroup.remove())
  const workspace = undo.use(openWorkspace(`${options.place}.data`, uid, limits.diskBytes, options.unmounter))
  const child = undo.use(spawn(options, workspace))
  const deadline = setTimeout(child.kill, OPEN_DEADLINE_MS)
  const ready = await child.control.next().finally(() => clearTimeout(deadline))
  if (ready?.type !== 'ready') throw new JailError(`Cannot open a jail: ${await child.explain()}`)

  const close = undo.move()
  let used = false
  return {
    workspace: workspace.path,
    uid,
    makeRoom: (inputBytes) => workspace.resize(limits.diskBytes + inputBytes),
    run: (program) => {
      if (used) throw new JailError('Cannot run a second program in a cell: open another')
      used = true
      return run(child, cgroup, program)
    },
    [Symbol.asyncDispose]: async () => {
      await using _close = close
      child.kill()
      await child.exited
      await cgroup?.kill()
    },
  }
}

type Child = Disposable & {
  readonly control: Control
  readonly stdout: ReadableStream<Uint8Array>
  readonly stderr: ReadableStream<Uint8Array>
  readonly exited: Promise<number>
  kill(): void
  /** Ends it and resolves with what it complained of */
  explain(): Promise<string>
}

const spawn = ({ binaries, root, uid, place, cgroup, limits }: CellOptions, workspace: Workspace): Child => {
  using theirs = new DisposableStack()
  using undo = new DisposableStack()
  const [control, output, errors] = [openSocketPair(), openPipe(), openPipe()]
  for (const pair of [control, output, errors]) theirs.adopt(pair.theirs, closeSync)
  for (const pair of [output, errors]) {
    undo.adopt(pair.ours, closeSync)
    // so that the program may open /dev/stdout and /dev/stderr
    fchownSync(pair.theirs, uid, uid)
  }
  const channel = undo.use(openControl(control.ours))
  const configPath = `${place}.cfg`
  undo.defer(() => rmSync(configPath, { force: true }))
  const { pids, openFiles, diskBytes } = limits
  writeFileSync(
    configPath,
    nsjailConfig({
      root,
      workspace: workspace.path,
      stub: binaries.stub,
      uid,
      pids: pids + OWN_PIDS,
      openFiles,
      fileBytes: 2 * diskBytes,
      scratchBytes: SCRATCH_BYTES,
    }),
  )
  const nsjail = Bun.spawn([binaries.launch, ...(cgroup?.joinFiles ?? []), '--', binaries.nsjail, '--config', configPath], {
    stdio: ['ignore', output.theirs, errors.theirs, control.theirs],
    env: {},
  })
  const owned = undo.move()
  const stderr = Bun.file(errors.ours).stream()
  const kill = () => nsjail.kill('SIGKILL')
  return {
    control: channel,
    stdout: Bun.file(output.ours).stream(),
    stderr,
    exited: nsjail.exited,
    kill,
    explain: async () => {
      kill()
      const { text } = await capture(stderr, { keepChars: SET_UP_MESSAGE_CHARS, drainBytes: MIB, onFlood: () => {} })
      return text.trim() || `nsjail ended with code ${await nsjail.exited} and no message`
    },
    [Symbol.dispose]: () => owned.dispose(),
  }
}

const run = async (child: Child, cgroup: Cgroup | null, { argv, env, limits, signal }: Program): Promise<Outcome> => {
  cgroup?.limit({ memoryBytes: limits.memoryBytes + limits.diskBytes + OWN_MEMORY_BYTES, pids: limits.pids + OWN_PIDS, cpus: limits.cpus })
  const openedMs = cgroup?.cpuMs() ?? 0
  const cpuMs = () => (cgroup?.cpuMs() ?? 0) - openedMs

  let reason: KillReason | null = null
  let isOver = false
  const end = (why: KillReason) => {
    // what comes after the program's own end does not change how it ended
    if (isOver) return
    reason ??= why
    child.kill()
  }
  const cancel = () => end('cancelled')
  signal?.addEventListener('abort', cancel)
  const startedAt = performance.now()
  const wallTimer = setTimeout(() => end('timed-out'), limits.wallMs)
  const cpuTimer = setInterval(() => cpuMs() > limits.cpuMs && end('cpu-exhausted'), CPU_CHECK_MS)
  try {
    const keep = { keepChars: limits.outputChars, drainBytes: DRAIN_BYTES, onFlood: () => end('output-limit') }
    const streams = Promise.all([capture(child.stdout, keep), capture(child.stderr, keep)])
    if (signal?.aborted) cancel()
    const isTold = await child.control.start(argv, env)
    const report = isTold ? await child.control.next() : null
    isOver = true
    const wallMs = performance.now() - startedAt
    // whatever is still there is nsjail on its way out, or what we have just killed
    child.kill()
    await child.exited
    await cgroup?.kill()
    const [stdout, stderr] = await streams
    if (!isTold && reason === null) throw new JailError(`Cannot start ${argv[0]}: its jail has died`)
    if (report?.type === 'failed') throw new JailError(`Cannot start ${argv[0]}: ${getSystemErrorName(-report.value)}`)
    const memory = cgroup?.memory() ?? { peakBytes: null, oomKills: 0 }
    const { oomKills } = memory
    return {
      ...endingOf({ reason, waitStatus: report?.type === 'ended' ? report.value : null, oomKills, stdoutTruncated: stdout.truncated }),
      stdout,
      stderr,
      wallMs: Math.round(wallMs),
      cpuMs: Math.round(cpuMs()),
      memoryBytes: memory.peakBytes,
      oomKills,
    }
  } finally {
    clearTimeout(wallTimer)
    clearInterval(cpuTimer)
    signal?.removeEventListener('abort', cancel)
  }
}
