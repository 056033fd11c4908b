import { type Static, Type as t } from '@sinclair/typebox'

/** What bounds one run. Times in `ms`, sizes in bytes */
export const Limits = t.Object({
  wallMs: t.Integer({ minimum: 1 }),
  /** CPU time of all its processes together */
  cpuMs: t.Integer({ minimum: 1 }),
  /** CPUs that it may keep busy at once */
  cpus: t.Number({ exclusiveMinimum: 0 }),
  /** Memory of its processes; what it writes to its workspace comes on top, up to `diskBytes` */
  memoryBytes: t.Integer({ minimum: 1 }),
  /** What it may write to its workspace */
  diskBytes: t.Integer({ minimum: 1 }),
  /** Kept of stdout, and of stderr, in UTF-16 code units */
  outputChars: t.Integer({ minimum: 1 }),
  /** Processes and threads at once */
  pids: t.Integer({ minimum: 1 }),
  /** Open descriptors of one process */
  openFiles: t.Integer({ minimum: 1 }),
})
export type Limits = Static<typeof Limits>
