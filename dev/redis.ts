import { mkdirSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { SetupError } from '../errors.ts'
import { dyingWithUs } from './children.ts'

export type PrivateRedis = AsyncDisposable & { readonly url: string; readonly exited: Promise<number> }

const START_DEADLINE_MS = 10_000

/** A redis-server of our own: on a unix socket, no port. What it holds survives a restart: the index of files is in it */
export const startRedis = async (directory: string, runDirectory: string): Promise<PrivateRedis> => {
  mkdirSync(directory, { recursive: true })
  mkdirSync(runDirectory, { recursive: true, mode: 0o755 })
  // a socket's path has 107 characters at most, a data directory may have more
  const socket = join(runDirectory, `redis-${process.pid}.sock`)
  const options = [
    '--port',
    '0',
    '--unixsocket',
    socket,
    '--unixsocketperm',
    '700',
    '--dir',
    resolve(directory),
    '--appendonly',
    'yes',
    '--save',
    '',
  ]
  const server = Bun.spawn(dyingWithUs('TERM', ['redis-server', ...options]), {
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'inherit',
    // a Ctrl-C must not end it before the services, which still need it
    detached: true,
  })
  const stop = async () => {
    server.kill('SIGTERM')
    await server.exited
    rmSync(socket, { force: true })
  }
  const deadline = setTimeout(() => server.kill(), START_DEADLINE_MS)
  const isUp = await saysReady(server.stdout).finally(() => clearTimeout(deadline))
  if (isUp !== true) {
    await stop()
    throw new SetupError(`Cannot start redis-server: ${isUp.trim() || `it ended with code ${server.exitCode}`}`)
  }
  return { url: socket, exited: server.exited, [Symbol.asyncDispose]: stop }
}

/** Resolves with `true` once it accepts connections, or with the last that it said; goes on reading, or a full pipe would stop it */
const saysReady = (stdout: ReadableStream<Uint8Array>): Promise<true | string> => {
  const { promise, resolve: settle } = Promise.withResolvers<true | string>()
  void (async () => {
    let said = ''
    for await (const chunk of stdout) {
      said = (said + Buffer.from(chunk).toString()).slice(-2_000)
      if (said.includes('eady to accept connections')) settle(true)
    }
    settle(said)
  })()
  return promise
}
