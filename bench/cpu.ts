import { existsSync, mkdirSync, readFileSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'

/** Parent of every jail's cgroup: its CPU time is theirs, also of those that are gone */
const V1 = '/sys/fs/cgroup/cpuacct/codeapi'
const V2 = '/sys/fs/cgroup/codeapi'
const TICKS_PER_S = 100

/** A cgroup for bare runs beside those of the jails, and the CPU time of everything that the benchmark causes */
export const openCpuMeter = (redisPid: number) => {
  const isV1 = existsSync('/sys/fs/cgroup/cpuacct')
  const parent = isV1 ? V1 : V2
  const bare = join(parent, 'bench')
  mkdirSync(bare, { recursive: true })
  const jailsMs = () =>
    isV1
      ? Number(readFileSync(join(parent, 'cpuacct.usage'), 'utf8')) / 1e6
      : Number(/^usage_usec (\d+)$/m.exec(readFileSync(join(parent, 'cpu.stat'), 'utf8'))?.[1]) / 1e3
  const redisMs = () => {
    const fields = readFileSync(`/proc/${redisPid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
    return ((Number(fields[11]) + Number(fields[12])) / TICKS_PER_S) * 1000
  }
  const ownMs = () => {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1000
  }
  return {
    /** To be written `0` to by what joins */
    joinFile: join(bare, 'cgroup.procs'),
    /** CPU time so far, in `ms`: jails, bare runs, Redis, and this process with all services */
    now: () => jailsMs() + redisMs() + ownMs(),
    [Symbol.dispose]: () => rmdirSync(bare),
  }
}
