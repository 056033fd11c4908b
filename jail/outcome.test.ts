import { expect, test } from 'bun:test'
import { type Ending, type Evidence, endingOf } from './outcome.ts'

const exited = (code: number) => code << 8
const clean: Evidence = { reason: null, waitStatus: exited(0), oomKills: 0, stdoutTruncated: false }
const killed = { exitCode: 137, signal: 'SIGKILL' }

test.each<[what: string, evidence: Partial<Evidence>, ending: Ending]>([
  ['success', {}, { status: 'exited', exitCode: 0, signal: null }],
  ['an exit code', { waitStatus: exited(3) }, { status: 'exited', exitCode: 3, signal: null }],
  ['the highest exit code', { waitStatus: exited(255) }, { status: 'exited', exitCode: 255, signal: null }],
  ['a signal', { waitStatus: 11 }, { status: 'signalled', exitCode: 139, signal: 'SIGSEGV' }],
  ['a signal with a core dump', { waitStatus: 11 | 0x80 }, { status: 'signalled', exitCode: 139, signal: 'SIGSEGV' }],
  ['a signal without a name', { waitStatus: 40 }, { status: 'signalled', exitCode: 168, signal: 'SIG40' }],
  ['a plain kill', { waitStatus: 9 }, { status: 'signalled', ...killed }],
  ['a kill for want of memory', { waitStatus: 9, oomKills: 1 }, { status: 'out-of-memory', ...killed }],
  [
    'a failure after a child was killed for want of memory',
    { waitStatus: exited(1), oomKills: 1 },
    { status: 'out-of-memory', exitCode: 1, signal: null },
  ],
  ['success although a child was killed for want of memory', { oomKills: 1 }, { status: 'exited', exitCode: 0, signal: null }],
  ['death together with PID 1, for want of memory', { waitStatus: null, oomKills: 2 }, { status: 'out-of-memory', ...killed }],
  ['death together with PID 1', { waitStatus: null }, { status: 'signalled', ...killed }],
  ['the kernel’s own limit of CPU time', { waitStatus: 24 }, { status: 'cpu-exhausted', exitCode: 152, signal: 'SIGXCPU' }],
  ['too much output', { stdoutTruncated: true }, { status: 'output-limit', exitCode: 0, signal: null }],
  [
    'a crash after too much output',
    { stdoutTruncated: true, waitStatus: exited(1) },
    { status: 'output-limit', exitCode: 1, signal: null },
  ],
])('an end by %s is called so', (_what, evidence, ending) => {
  expect(endingOf({ ...clean, ...evidence })).toEqual(ending)
})

test.each(['timed-out', 'cpu-exhausted', 'output-limit', 'cancelled'] as const)(
  'our own reason, %s, wins over all that follows from it',
  (reason) => {
    expect(endingOf({ reason, waitStatus: null, oomKills: 1, stdoutTruncated: true })).toEqual({ status: reason, ...killed })
  },
)
