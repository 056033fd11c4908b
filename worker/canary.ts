import { messageOf } from '../errors.ts'
import type { Jail } from '../jail/jail.ts'
import type { Limits } from '../jail/limits.ts'
import type { Language } from './contract.ts'
import { commandFor } from './languages.ts'
import type { Packages } from './packages.ts'
import { placeProgram } from './workspace.ts'

const MIB = 1024 * 1024
const LIMITS: Limits = {
  wallMs: 10_000,
  cpuMs: 10_000,
  cpus: 1,
  memoryBytes: 256 * MIB,
  diskBytes: MIB,
  outputChars: 1_000,
  pids: 32,
  openFiles: 256,
}
const LANGUAGE: Language = 'python'
const CODE = 'print(6 * 7)'
const ANSWER = '42\n'
/** How long an answer stands before a program is run again, in `ms` */
const FRESH_MS = 10_000

/** Why no program can run here; `null` if one did just now. Asked often, it runs one every ten seconds at most */
export const canary = (jail: Jail, packages: Packages): (() => Promise<string | null>) => {
  let last: { at: number; serving: string | null; problem: Promise<string | null> } | null = null
  return () => {
    const { serving } = packages.status()
    if (!last || last.serving !== serving || performance.now() - last.at > FRESH_MS) {
      last = { at: performance.now(), serving, problem: tryOne(jail, packages) }
    }
    return last.problem
  }
}

const tryOne = async (jail: Jail, packages: Packages): Promise<string | null> => {
  try {
    using runtime = packages.acquire()
    const command = commandFor(LANGUAGE, runtime.packages, [], new Set())
    if ('missing' in command) throw runtime.missing(command.missing)
    await using cell = await jail.open(runtime.root, LIMITS)
    placeProgram(cell, command.entry, CODE)
    const outcome = await cell.run({ argv: command.argv, env: command.env, limits: LIMITS })
    if (outcome.stdout.text === ANSWER) return null
    return `the canary program ended as ${outcome.status} with code ${outcome.exitCode}: ${outcome.stderr.text.trim()}`
  } catch (error) {
    return messageOf(error)
  }
}
