import type { Limits } from './limits.ts'
import type { Outcome } from './outcome.ts'

/** A program for a cell. Paths are the jail's */
export type Program = {
  readonly argv: readonly [executable: string, ...args: string[]]
  readonly env: Readonly<Record<string, string>>
  readonly limits: Limits
  /** Ends the run with status `cancelled` */
  readonly signal?: AbortSignal
}

/** An open jail that waits for its one program. Disposing of it leaves nothing: no process, mount, cgroup, descriptor or file */
export type Cell = AsyncDisposable & {
  /** The workspace on the host, `/mnt/data` inside: inputs are put there before the run, outputs read after it */
  readonly workspace: string
  /** Owner of the files in it */
  readonly uid: number
  /** Makes room for inputs of this many bytes beside what the program may write */
  makeRoom(inputBytes: number): void
  /** Runs the program and resolves when every process of the jail is dead. Once only */
  run(program: Program): Promise<Outcome>
}

/** A way to hold programs: nsjail, later nsjail in a microVM */
export type Jail = AsyncDisposable & {
  readonly name: string
  /** What it cannot enforce on this machine, in words; empty where all limits hold */
  readonly weaknesses: readonly string[]
  /** @param root the composed runtime packages */
  open(root: string, limits: Pick<Limits, 'pids' | 'openFiles' | 'diskBytes'>): Promise<Cell>
}
