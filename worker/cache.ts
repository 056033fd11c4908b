import { Database } from 'bun:sqlite'
import {
  closeSync,
  createReadStream,
  createWriteStream,
  existsSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
} from 'node:fs'
import { open } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { AppError, errnoOf } from '../errors.ts'
import type { Package } from '../init/contract.ts'
import { tryLock } from '../jail/syscalls.ts'
import { log } from '../log.ts'

export type CacheOptions = {
  /** Directory of the volume that `init` fills */
  readonly volume: string
  /** Directory of the local copies and their database; shared by the worker processes of one machine */
  readonly directory: string
  /** Copies beyond this many bytes are evicted, least recently used first */
  readonly budgetBytes: number
}

const LOCK_POLL_MS = 50
const DATABASE_WAIT_MS = 5_000

type Row = { digest: string; size: number }

/** Local, verified copies of packages. A copy is checked against its digest once, while it is made, and survives restarts */
export type PackageCache = Disposable & {
  /** The local path of a package's artifact. `inUse`: digests that must not make room for it */
  ensure(wanted: Package, inUse: ReadonlySet<string>): Promise<string>
}

export const openPackageCache = ({ volume, directory, budgetBytes }: CacheOptions): PackageCache => {
  mkdirSync(directory, { recursive: true })
  const database = new Database(join(directory, 'packages.sqlite'), { create: true, strict: true })
  database.exec(`PRAGMA busy_timeout = ${DATABASE_WAIT_MS}; PRAGMA journal_mode = WAL`)
  database.exec(`CREATE TABLE IF NOT EXISTS packages (
    digest TEXT PRIMARY KEY, name TEXT NOT NULL, version TEXT NOT NULL, size INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('copying', 'ready')), last_used_at INTEGER NOT NULL)`)
  const begin = database.query(`INSERT OR REPLACE INTO packages VALUES ($digest, $name, $version, $size, 'copying', $now)`)
  const finish = database.query(`UPDATE packages SET state = 'ready' WHERE digest = $digest`)
  const touch = database.query(`UPDATE packages SET last_used_at = $now WHERE digest = $digest AND state = 'ready' RETURNING digest`)
  const forget = database.query(`DELETE FROM packages WHERE digest = $digest`)
  const unfinished = database.query<Row, []>(`SELECT digest, size FROM packages WHERE state = 'copying'`)
  const total = database.query<{ bytes: number }, []>(`SELECT COALESCE(SUM(size), 0) AS bytes FROM packages`)
  const leastRecentlyUsed = database.query<Row, []>(`SELECT digest, size FROM packages WHERE state = 'ready' ORDER BY last_used_at`)

  const pathOf = (digest: string) => join(directory, `${digest.replace('sha256:', '')}.erofs`)

  /** Whether a whole, verified copy lies here */
  const isReady = ({ digest, size }: Package): boolean =>
    touch.get({ digest, now: Date.now() }) !== null && statSync(pathOf(digest), { throwIfNoEntry: false })?.size === size

  /** Copies whose process died while it made them */
  const removeUnfinished = (): void => {
    for (const { digest } of unfinished.all()) {
      const descriptor = openSync(`${pathOf(digest)}.lock`, 'w')
      try {
        if (!tryLock(descriptor)) continue
        rmSync(`${pathOf(digest)}.part`, { force: true })
        forget.run({ digest })
      } finally {
        closeSync(descriptor)
      }
    }
  }

  const makeRoom = (bytes: number, inUse: ReadonlySet<string>): void => {
    removeUnfinished()
    let after = (total.get()?.bytes ?? 0) + bytes
    for (const { digest, size } of leastRecentlyUsed.all()) {
      if (after <= budgetBytes) return
      if (inUse.has(digest)) continue
      // a worker that has it mounted keeps its bytes until it unmounts
      rmSync(pathOf(digest), { force: true })
      forget.run({ digest })
      after -= size
      log.info({ digest }, 'evicted a package from the local cache')
    }
  }

  return {
    ensure: async (wanted, inUse) => {
      if (isReady(wanted)) return pathOf(wanted.digest)
      using _lock = await waitForLock(`${pathOf(wanted.digest)}.lock`)
      if (isReady(wanted)) return pathOf(wanted.digest)
      const { digest, name, version, size } = wanted
      forget.run({ digest })
      makeRoom(size, inUse)
      begin.run({ digest, name, version, size, now: Date.now() })
      try {
        await copyVerified(wanted, join(volume, wanted.artifact), pathOf(digest))
      } catch (error) {
        forget.run({ digest })
        throw error
      }
      finish.run({ digest })
      return pathOf(digest)
    },
    [Symbol.dispose]: () => database.close(),
  }
}

/** Between processes and within one; the kernel frees it if its holder dies */
const waitForLock = async (path: string): Promise<Disposable> => {
  const descriptor = openSync(path, 'w')
  while (!tryLock(descriptor)) await Bun.sleep(LOCK_POLL_MS)
  return { [Symbol.dispose]: () => closeSync(descriptor) }
}

/** Copies and hashes in one pass; the final name appears only with the right bytes */
const copyVerified = async ({ name, digest, size }: Package, from: string, to: string): Promise<void> => {
  const part = `${to}.part`
  rmSync(part, { force: true })
  try {
    const hash = new Bun.CryptoHasher('sha256')
    if (!existsSync(from)) throw new AppError(503, 'package_missing', `Cannot use package ${name}: ${from} is not there; run init again`)
    const { bavail, bsize } = statfsSync(dirname(to))
    if (bavail * bsize < size) throw noSpace(name, size, to)
    // on other threads: a worker that gives no sign of life while it waits for a disk is taken for dead
    await pipeline(
      createReadStream(from, { highWaterMark: 1024 * 1024 }),
      async function* (chunks: AsyncIterable<Uint8Array>) {
        for await (const chunk of chunks) {
          hash.update(chunk)
          yield chunk
        }
      },
      createWriteStream(part),
    )
    await using written = await open(part, 'r+')
    await written.sync()
    const found = `sha256:${hash.digest('hex')}`
    if (found !== digest) {
      throw new AppError(
        503,
        'package_tampered',
        `Cannot use package ${name}: ${from} has digest ${found}, the catalog says ${digest}; remove it and run init again`,
      )
    }
    renameSync(part, to)
  } catch (error) {
    rmSync(part, { force: true })
    throw errnoOf(error) === 'ENOSPC' ? noSpace(name, size, to, error) : error
  }
}

const noSpace = (name: string, size: number, to: string, cause?: unknown): AppError =>
  new AppError(503, 'package_no_space', `Cannot copy package ${name} (${size} bytes): no space left for ${to}`, { cause })
