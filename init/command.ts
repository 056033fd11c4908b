import { appendFile, mkdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import { SetupError } from '../errors.ts'

export type Command = {
  argv: readonly string[]
  /** All its output is appended here */
  log: string
  cwd?: string
  env?: Readonly<Record<string, string>>
  signal?: AbortSignal
  onLine?: (line: string) => void
  /**
   * In a mount and process namespace of its own, which ends with it: no mount it makes and no process it starts outlives it.
   * For commands that mount; needs root.
   */
  contained?: boolean
  /** For one that would leave a mess if it were killed: it goes on when this process dies, or a person types Ctrl-C */
  mayOutlive?: boolean
}

/** What a command needs of our environment to find its programs, its proxy and its certificates, and no more */
const PASSED_ON = [
  'PATH',
  'HOME',
  'TMPDIR',
  'http_proxy',
  'https_proxy',
  'no_proxy',
  'HTTP_PROXY',
  'HTTPS_PROXY',
  'NO_PROXY',
  'SSL_CERT_FILE',
]
const LAST_LINES = 12

/** Runs a command to its end. It dies with this process, even if that dies by SIGKILL. Throws a {@link SetupError} with its last lines if it fails */
export const run = async (command: Command): Promise<void> => {
  await mkdir(dirname(command.log), { recursive: true })
  await appendFile(command.log, `\n$ ${command.argv.join(' ')}\n`)
  const child = Bun.spawn([...wrapping(command), ...command.argv], {
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
    cwd: command.cwd,
    env: { ...inherited(), ...command.env },
    signal: command.signal,
    killSignal: 'SIGKILL',
    detached: command.mayOutlive ?? false,
  })
  const last: string[] = []
  const keep = async (line: string) => {
    await appendFile(command.log, `${line}\n`)
    last.push(line)
    if (last.length > LAST_LINES) last.shift()
    command.onLine?.(line)
  }
  await Promise.all([eachLine(child.stdout, keep), eachLine(child.stderr, keep)])
  const code = await child.exited
  command.signal?.throwIfAborted()
  if (code === 0) return
  const reason = child.signalCode ? `was killed by ${child.signalCode}` : `failed with exit code ${code}`
  throw new SetupError(
    `${command.argv[0]} ${reason}; its last lines (all in ${command.log}):\n${last.map((line) => `  ${line}`).join('\n')}`,
  )
}

const wrapping = ({ contained, mayOutlive }: Command): string[] => [
  ...(mayOutlive ? [] : ['setpriv', '--pdeathsig', 'KILL']),
  ...(contained ? ['unshare', '--mount', '--propagation', 'private', '--pid', '--fork', '--kill-child', '--mount-proc'] : []),
]

/** What a program that we start sees of our own environment */
export const inherited = (): Record<string, string> => {
  const env: Record<string, string> = { LC_ALL: 'C.UTF-8' }
  for (const name of PASSED_ON) {
    const value = Bun.env[name]
    if (value) env[name] = value
  }
  // Debian keeps half of the tools we need where a user's PATH does not look
  env.PATH = `${env.PATH ?? '/usr/bin:/bin'}:/usr/local/sbin:/usr/sbin:/sbin`
  return env
}

const eachLine = async (stream: ReadableStream<Uint8Array>, use: (line: string) => Promise<void>): Promise<void> => {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split(/[\r\n]+/)
    rest = lines.pop() ?? ''
    for (const line of lines) if (line) await use(line)
  }
  if (rest) await use(rest)
}
