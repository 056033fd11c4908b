const CONTROLLERS = ['memory', 'pids', 'cpu', 'cpuacct'] as const
export type Controller = (typeof CONTROLLERS)[number]
export const CONTROLLERS_V2 = ['memory', 'pids', 'cpu']

/** The directories under which cgroups may be made: the roots that are mounted here, which in a container are its own cgroup */
export type Hierarchy = { version: 1; roots: Record<Controller, string> } | { version: 2; root: string }

/** Pure: `/proc/self/mountinfo` (proc(5)) → the hierarchy to use, or why there is none */
export const locate = (mountinfo: string, controllersAt: (directory: string) => string[]): Hierarchy | { missing: string } => {
  const mounts = mountinfo.split('\n').flatMap((line) => {
    const [left, right] = line.split(' - ')
    const target = left?.split(' ')[4]
    const [type, , options] = right?.split(' ') ?? []
    return target && type ? [{ target, type, options: options?.split(',') ?? [] }] : []
  })
  const unified = mounts.find(({ type }) => type === 'cgroup2')
  if (unified && CONTROLLERS_V2.every((name) => controllersAt(unified.target).includes(name))) return { version: 2, root: unified.target }
  const roots = Object.fromEntries(
    CONTROLLERS.flatMap((name) => {
      const found = mounts.find(({ type, options }) => type === 'cgroup' && options.includes(name))
      return found ? [[name, found.target]] : []
    }),
  ) as Partial<Record<Controller, string>>
  const absent = CONTROLLERS.filter((name) => !roots[name])
  return absent.length === 0
    ? { version: 1, roots: roots as Record<Controller, string> }
    : { missing: `no cgroup controller for ${absent.join(', ')} is mounted` }
}
