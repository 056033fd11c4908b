import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'

/** A redis-server of our own: no port, a unix socket in a directory that goes with it. What was written survives `restart` */
export const startRedis = async () => {
  const program = Bun.which('redis-server')
  if (!program) throw new Error('Cannot test: redis-server is not on the PATH, install it (Debian: apt-get install redis-server)')
  const directory = await mkdtemp(join(tmpdir(), 'codeapi-redis-'))
  const url = join(directory, 'redis.sock')
  const start = () =>
    Bun.spawn(
      [program, '--port', '0', '--unixsocket', url, '--dir', directory, '--save', '', '--appendonly', 'yes', '--appendfsync', 'no'],
      {
        stdout: 'ignore',
        stderr: 'inherit',
      },
    )
  let server = start()
  const redis = new Redis(url, { maxRetriesPerRequest: null, retryStrategy: () => 20 })
  // it is told of every attempt while the server starts or is stopped on purpose
  redis.on('error', () => {})
  await redis.ping()

  const stop = async () => {
    server.kill()
    await server.exited
  }
  return {
    /** Path of the socket, which is what `REDIS_URL` takes */
    url,
    /** Of the server that runs now */
    get pid() {
      return server.pid
    },
    /** A connection for the test's own questions */
    redis,
    stop,
    async restart() {
      await stop()
      server = start()
      await redis.ping()
    },
    async [Symbol.asyncDispose]() {
      redis.disconnect()
      await stop()
      await rm(directory, { recursive: true, force: true })
    },
  }
}
