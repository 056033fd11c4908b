import type { Catalog } from '../init/contract.ts'
import { WORKSPACE } from '../jail/nsjail/config.ts'
import type { Language } from './contract.ts'

type Runtime = {
  /** Command in a package's `commands` */
  readonly command: string
  readonly entry: string
}

const RUNTIMES: Readonly<Record<Language, Runtime>> = {
  python: { command: 'python3', entry: 'main.py' },
  javascript: { command: 'bun', entry: 'index.js' },
  typescript: { command: 'bun', entry: 'main.ts' },
  node: { command: 'node', entry: 'index.js' },
  bash: { command: 'bash', entry: 'script.sh' },
}

/** Environment of every program, before what its packages add */
const ENVIRONMENT = {
  HOME: WORKSPACE,
  USER: 'sandbox',
  LOGNAME: 'sandbox',
  SHELL: '/bin/bash',
  PATH: '/usr/local/bin:/usr/bin:/bin',
  LANG: 'en_US.UTF-8',
  TMPDIR: '/tmp',
  // caches are no outputs
  XDG_CACHE_HOME: '/tmp/.cache',
  XDG_CONFIG_HOME: '/tmp/.config',
  // what was printed before a program is killed is seen
  PYTHONUNBUFFERED: '1',
} as const

export type Command = {
  /** Path of the program's text, relative to the workspace */
  readonly entry: string
  readonly argv: readonly [string, ...string[]]
  readonly env: Readonly<Record<string, string>>
}

/**
 * How a language is run with the packages at hand. The program's text gets a name that no input has.
 * @returns the command's name where no package provides it
 */
export const commandFor = (
  language: Language,
  packages: Catalog['packages'],
  args: readonly string[],
  inputPaths: ReadonlySet<string>,
): Command | { readonly missing: string } => {
  const { command, entry } = RUNTIMES[language]
  const executable = packages.find(({ commands }) => command in commands)?.commands[command]
  if (!executable) return { missing: command }
  const free = freeName(entry, inputPaths)
  return {
    entry: free,
    argv: [executable, `${WORKSPACE}/${free}`, ...args],
    env: Object.assign({}, ENVIRONMENT, ...packages.map(({ environment }) => environment), { SANDBOX_LANGUAGE: language }),
  }
}

/** `main.py`, or `main-2.py` where that is taken by an input, even as a directory */
const freeName = (entry: string, taken: ReadonlySet<string>): string => {
  const isTaken = (name: string) => [...taken].some((path) => path === name || path.startsWith(`${name}/`))
  const dot = entry.lastIndexOf('.')
  let name = entry
  for (let number = 2; isTaken(name); number++) name = `${entry.slice(0, dot)}-${number}${entry.slice(dot)}`
  return name
}
