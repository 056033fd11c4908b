import { expect, test } from 'bun:test'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { processesWith, until } from '../../test/machine.ts'
import { jailsMissing } from '../../test/services.ts'
import { type Cgroup, openCgroups } from './cgroup.ts'
import { locate } from './locate.ts'
import { versionTwo } from './version2.ts'

const V2 = '30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate'
const V1 = [
  '32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct',
  '35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory',
  '39 31 0:36 / /sys/fs/cgroup/pids rw shared:9 master:3 - cgroup cgroup rw,pids',
]
const OTHERS = ['31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755', '1 0 8:1 / / rw - ext4 /dev/vda rw', '']
const UNIFIED = '41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw'
const ROOTS = {
  cpu: '/sys/fs/cgroup/cpu,cpuacct',
  cpuacct: '/sys/fs/cgroup/cpu,cpuacct',
  memory: '/sys/fs/cgroup/memory',
  pids: '/sys/fs/cgroup/pids',
}

test.each([
  ['version 2', [...OTHERS, V2], ['cpuset', 'cpu', 'io', 'memory', 'pids'], { version: 2, root: '/sys/fs/cgroup' }],
  ['version 1', [...OTHERS, ...V1], [], { version: 1, roots: ROOTS }],
  ['both, the controllers in version 1', [...OTHERS, ...V1, UNIFIED], [], { version: 1, roots: ROOTS }],
  [
    'version 2 without its controllers',
    [...OTHERS, V2],
    ['cpu'],
    { missing: 'no cgroup controller for memory, pids, cpu, cpuacct is mounted' },
  ],
  ['version 1 without one', [...OTHERS, ...V1.slice(0, 2)], [], { missing: 'no cgroup controller for pids is mounted' }],
  ['none', OTHERS, [], { missing: 'no cgroup controller for memory, pids, cpu, cpuacct is mounted' }],
] as const)('locate() finds %s', (_what, mounts, controllers, found) => {
  expect(locate(mounts.join('\n'), () => [...controllers])).toEqual(found as ReturnType<typeof locate>)
})

/** A shell in a cgroup that goes on forking sleepers */
const startForker = (cgroup: Cgroup, marker: string) => {
  const join = cgroup.joinFiles.map((file) => `echo $$ > ${file}`).join('; ')
  return Bun.spawn(['sh', '-c', `${join}; while :; do sleep ${marker} & setsid sleep ${marker} & sleep 0.01; done`], { stderr: 'ignore' })
}

test.skipIf(jailsMissing() !== null)('a cgroup is killed whole while it forks, and removed', async () => {
  const parent = openCgroups(`worker-test-${process.pid}`)
  if ('missing' in parent) throw new Error(parent.missing)
  const marker = `5${process.pid}.${Date.now()}`
  const cgroup = parent.create('jail-a')
  cgroup.limit({ memoryBytes: 100_000_000, pids: 200, cpus: 1 })
  const child = startForker(cgroup, marker)
  await until('some run', () => processesWith(marker).length > 10)
  expect(cgroup.cpuMs()).toBeGreaterThan(0)
  expect(cgroup.memory().peakBytes).toBeGreaterThan(0)
  await cgroup.kill()
  expect(processesWith(marker)).toEqual([])
  await cgroup.remove()
  expect(cgroup.joinFiles.filter((file) => existsSync(file))).toEqual([])
  await child.exited

  // what a dead worker left: running, and not emptied
  const left = parent.create('jail-b')
  const other = startForker(left, marker)
  await until('some run', () => processesWith(marker).length > 3)
  await parent.remove()
  expect(processesWith(marker)).toEqual([])
  expect(left.joinFiles.filter((file) => existsSync(file))).toEqual([])
  await other.exited
})

test.skipIf(jailsMissing() !== null)('so is one of version 2, wherever that is mounted', async () => {
  const root = /^(?:\S+ ){4}(\S+) .* - cgroup2 /m.exec(readFileSync('/proc/self/mountinfo', 'utf8'))?.[1]
  if (!root) return expect(openCgroups('x')).toMatchObject({ version: 1 })
  const directory = join(root, 'codeapi', `worker-test-${process.pid}`)
  mkdirSync(directory, { recursive: true })
  const parent = versionTwo(directory)
  const marker = `4${process.pid}.${Date.now()}`
  const cgroup = parent.create('jail-a')
  const child = startForker(cgroup, marker)
  await until('some run', () => processesWith(marker).length > 10)
  await cgroup.kill()
  expect(processesWith(marker)).toEqual([])
  await parent.remove()
  expect(existsSync(directory)).toBe(false)
  await child.exited
})
