import { constants } from 'node:os'
import { type Static, Type as t } from '@sinclair/typebox'

/** How a program ended: the first reason wins */
export const RunStatus = t.Union([
  t.Literal('exited'),
  t.Literal('signalled'),
  t.Literal('timed-out'),
  t.Literal('cpu-exhausted'),
  t.Literal('out-of-memory'),
  t.Literal('output-limit'),
  t.Literal('cancelled'),
])
export type RunStatus = Static<typeof RunStatus>

/** Why we ended a program ourselves */
export type KillReason = 'timed-out' | 'cpu-exhausted' | 'output-limit' | 'cancelled'

/** What was kept of one output stream */
export type Captured = { readonly text: string; readonly truncated: boolean }

export type Outcome = {
  readonly status: RunStatus
  /** 128+n for signal n */
  readonly exitCode: number
  readonly signal: string | null
  readonly stdout: Captured
  readonly stderr: Captured
  readonly wallMs: number
  /** User and system time of all its processes, in `ms` */
  readonly cpuMs: number
  /** Highest memory use in bytes, workspace included; `null` where no cgroup measured it */
  readonly memoryBytes: number | null
  /** Processes that the kernel killed for want of memory, whether or not the program survived it */
  readonly oomKills: number
}

/** What is known once every process is dead */
export type Evidence = {
  /** Set where we killed it */
  readonly reason: KillReason | null
  /** As wait(2) reports it; `null` where the program died with its jail */
  readonly waitStatus: number | null
  readonly oomKills: number
  readonly stdoutTruncated: boolean
}

export type Ending = Pick<Outcome, 'status' | 'exitCode' | 'signal'>

const SIGKILL = constants.signals.SIGKILL
const nameOf = (signal: number): string => Object.entries(constants.signals).find(([, number]) => number === signal)?.[0] ?? `SIG${signal}`

const killed = (status: RunStatus): Ending => ({ status, exitCode: 128 + SIGKILL, signal: 'SIGKILL' })

/** What a run's end is called, from the evidence */
export const endingOf = ({ reason, waitStatus, oomKills, stdoutTruncated }: Evidence): Ending => {
  if (reason) return killed(reason)
  // the jail's first process went with the program: only the kernel does that, for memory
  if (waitStatus === null) return killed(oomKills > 0 ? 'out-of-memory' : 'signalled')
  const signal = waitStatus & 0x7f
  const exitCode = signal ? 128 + signal : (waitStatus >> 8) & 0xff
  const ending = { exitCode, signal: signal ? nameOf(signal) : null }
  if (oomKills > 0 && exitCode !== 0) return { status: 'out-of-memory', ...ending }
  if (signal === constants.signals.SIGXCPU) return { status: 'cpu-exhausted', ...ending }
  if (stdoutTruncated) return { status: 'output-limit', ...ending }
  return { status: signal ? 'signalled' : 'exited', ...ending }
}
