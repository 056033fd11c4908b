import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { FIRST_UID, MAX_JAILS } from '../jail/instance.ts'

const POLL_MS = 10

/** Resolves with what `condition` gives once it gives something; throws with what was waited for after `ms` */
export const until = async <T>(what: string, condition: () => T | Promise<T>, ms = 15_000): Promise<NonNullable<Exclude<T, false>>> => {
  const deadline = performance.now() + ms
  for (;;) {
    const value = await condition()
    if (value) return value as NonNullable<Exclude<T, false>>
    if (performance.now() > deadline) throw new Error(`Waited ${ms} ms in vain until ${what}`)
    await Bun.sleep(POLL_MS)
  }
}

/** Text of a file under /proc, empty where its process has ended meanwhile */
const readProc = (path: string): string => {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

type Process = {
  readonly pid: number
  readonly command: string
  readonly uid: number
  /** Dead, and PID 1 will bury it in its own time */
  readonly ended: boolean
}

/** Every process of this machine, those in jails included */
export const processes = (): Process[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      const status = readProc(`/proc/${name}/status`)
      if (!status) return []
      const command = readProc(`/proc/${name}/cmdline`).replaceAll('\0', ' ').trim()
      const uid = Number(/^Uid:\t(\d+)/m.exec(status)?.[1])
      return [{ pid: Number(name), command, uid, ended: /^State:\tZ/m.test(status) && /^PPid:\t1$/m.test(status) }]
    })

/** Pids of the living processes whose arguments hold `text` */
export const processesWith = (text: string): number[] =>
  processes()
    .filter(({ command, ended }) => !ended && command.includes(text))
    .map(({ pid }) => pid)

/** Mount points of this mount namespace under a directory */
export const mountsUnder = (directory: string): string[] =>
  readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((target) => target.startsWith(`${directory}/`))
    .sort()

/** Where cgroups are mounted: each hierarchy of version 1, and that of version 2 */
const cgroupRoots = (): string[] =>
  readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .flatMap((line) => (/ - cgroup2? /.test(line) ? [line.split(' ')[4] ?? ''] : []))

/** The cgroups of an instance's jails, in every hierarchy */
export const cgroupsOf = (instance: string): string[] =>
  cgroupRoots()
    .map((root) => join(root, 'codeapi'))
    .filter((parent) => existsSync(parent))
    .flatMap((parent) => readdirSync(parent).flatMap((name) => (name.startsWith(`${instance}-`) ? [join(parent, name)] : [])))
    .flatMap((parent) => readdirSync(parent).filter((name) => name.startsWith('jail-')))

/** All that a worker's jails have on this machine now. Empty where none is open */
export const tracesOf = (instance: string, runDirectory = '/run/codeapi') => {
  const directory = join(runDirectory, instance)
  const firstUid = FIRST_UID + Number(instance.replace(/\D/g, '')) * MAX_JAILS
  const isJail = (name: string) => name.includes('/jail-')
  return {
    processes: processes()
      .filter(({ ended }) => !ended)
      .filter(({ uid, command }) => (uid >= firstUid && uid < firstUid + MAX_JAILS) || command.includes(`${directory}/`))
      .map(({ pid, command }) => `${pid} ${command}`),
    cgroups: cgroupsOf(instance),
    mounts: mountsUnder(directory).filter(isJail),
    files: existsSync(directory) ? readdirSync(directory).filter((name) => name.startsWith('jail-')) : [],
  }
}

const NO_TRACES = { processes: [], cgroups: [], mounts: [], files: [] }

/** Waits until a worker's jails have left nothing; a dead process may lie about until PID 1 has buried it */
export const leftNothing = async (instance: string): Promise<void> => {
  await until('nothing is left of a jail', () => Bun.deepEquals(tracesOf(instance), NO_TRACES), 5_000).catch((cause) => {
    throw new Error(`${cause.message}: ${JSON.stringify(tracesOf(instance))}`)
  })
}
