import { mkdir, mkdtemp, rename, rm, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3'
import { fetchTool } from '../init/tools.ts'

const REQUIREMENTS = join(import.meta.dir, 's3-requirements.txt')
const KEYS = { accessKeyId: 'test-key', secretAccessKey: 'test-secret' }

/** Why there is no S3 server here, or null. Throws instead where a skipped test counts as a failed one */
export const s3Missing = (): string | null => {
  const why = Bun.which('python3')
    ? null
    : 'Cannot test S3: python3, which runs the S3 server (moto), is not on the PATH; `bun run test` installs it'
  if (why && Bun.env.REQUIRE_JAILS) throw new Error(why)
  if (why) process.stderr.write(`${why}\n`)
  return why
}

/** A real S3 server of our own on a port that the system chose, with one bucket; it keeps everything in memory */
export const startS3 = async () => {
  const packages = await install()
  const server = Bun.spawn(['python3', '-m', 'moto.server', '-H', '127.0.0.1', '-p', '0'], {
    env: { ...Bun.env, PYTHONPATH: packages, PYTHONUNBUFFERED: '1' },
    stdout: 'ignore',
    stderr: 'pipe',
  })
  const port = await listeningPort(server.stderr)
  const bucket = 'test-files'
  const client = new S3Client({ endpoint: `http://127.0.0.1:${port}`, region: 'us-east-1', forcePathStyle: true, credentials: KEYS })
  await client.send(new CreateBucketCommand({ Bucket: bucket }))
  return {
    port,
    bucket,
    /** For the test's own questions */
    client,
    /** What a service needs to use it, or a proxy in front of it */
    env: (at = port) => ({
      CODEAPI_FILE_STORE: 's3',
      MINIO_ENDPOINT: '127.0.0.1',
      MINIO_PORT: String(at),
      MINIO_BUCKET: bucket,
      MINIO_ACCESS_KEY: KEYS.accessKeyId,
      MINIO_SECRET_KEY: KEYS.secretAccessKey,
    }),
    async [Symbol.asyncDispose]() {
      client.destroy()
      server.kill()
      await server.exited
    },
  }
}

/** Once per lock file, into a directory named by its hash; two tests that begin at once do it twice and keep one */
const install = async (): Promise<string> => {
  const hash = new Bun.CryptoHasher('sha256').update(await Bun.file(REQUIREMENTS).bytes()).digest('hex')
  const tools = resolve(Bun.env.CODEAPI_DATA_DIR ?? join(import.meta.dir, '../.data'), 'tools')
  const packages = join(tools, `moto-${hash.slice(0, 16)}`)
  if (await stat(packages).catch(() => null)) return packages
  await mkdir(tools, { recursive: true })
  const fresh = await mkdtemp(`${packages}.`)
  const uv = await fetchTool('uv', tools, () => {})
  const options = ['--quiet', '--no-config', '--only-binary', ':all:', '--require-hashes', '--python', 'python3', '--target', fresh]
  const installing = Bun.spawn([uv, 'pip', 'install', ...options, '-r', REQUIREMENTS], { stdout: 'ignore', stderr: 'pipe' })
  const complaint = await new Response(installing.stderr).text()
  if ((await installing.exited) !== 0) {
    await rm(fresh, { recursive: true, force: true })
    throw new Error(`Cannot install the S3 server for tests (moto): ${complaint}`)
  }
  await rename(fresh, packages).catch(() => rm(fresh, { recursive: true, force: true }))
  return packages
}

const listeningPort = async (stderr: ReadableStream<Uint8Array>): Promise<number> => {
  const reader = stderr.getReader()
  const decoder = new TextDecoder()
  let said = ''
  for (;;) {
    const { done, value } = await reader.read()
    if (done) throw new Error(`Cannot start the S3 server for tests (moto): ${said}`)
    said += decoder.decode(value, { stream: true })
    const port = /Running on http:\/\/127\.0\.0\.1:(\d+)/.exec(said)?.[1]
    if (!port) continue
    // it logs each request, and would stop when nobody reads that
    void drain(reader)
    return Number(port)
  }
}

const drain = async (reader: ReadableStreamDefaultReader<Uint8Array>) => {
  while (!(await reader.read()).done);
}
