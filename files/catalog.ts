import type { Redis } from 'ioredis'
import { AppError } from '../errors.ts'
import { type FileClaim, type FileRecord, keys, type Resolution } from './contract.ts'
import { answer, answers } from './redis.ts'

/** A record as it lies in Redis; `upload` is its place in the listing */
type Stored = FileRecord & { upload: number }

/** A session lives somewhat longer than promised, so that one in use is written once in a while and not at each read. In `ms` */
export const lifeOf = (ttlMs: number) => ttlMs + Math.ceil(ttlMs / 24)

/** The index: which session is whose, and what is in it. Everything of a session expires together, a while after its last use */
export const createCatalog = (redis: Redis, { ttlMs }: { ttlMs: number }) => {
  const lifeMs = lifeOf(ttlMs)

  const keep = (sessions: readonly string[]) => {
    const pipeline = redis.pipeline()
    for (const session of sessions) pipeline.pexpire(keys.session(session), lifeMs).pexpire(keys.records(session), lifeMs)
    return answers(pipeline)
  }

  const write = async (owner: string, session: string, file: string, json?: string) => {
    const record = json === undefined ? [] : [file, json]
    const pipeline = redis.pipeline()
    // first the date of its removal: whatever dies after this, a sweeper will come to it (and go, when it is still in use)
    pipeline.zadd(keys.expiry, 'NX', Date.now() + lifeMs, session)
    pipeline.hget(keys.records(session), file)
    pipeline.eval(WRITE, 2, keys.session(session), keys.records(session), owner, Date.now(), lifeMs, ...record)
    const [, before, upload] = await answers(pipeline)
    if (upload === null) throw forbidden()
    return { upload: Number(upload), replaced: typeof before === 'string' ? parse(before) : null }
  }

  /** One round trip for any number of claims */
  const look = async (claims: readonly (Omit<FileClaim, 'owner'> & { owner: string | null })[]): Promise<Resolution[]> => {
    const pipeline = redis.pipeline()
    for (const { session, file } of claims)
      pipeline.hget(keys.session(session), 'owner').hget(keys.records(session), file).pttl(keys.session(session))
    const found = await answers(pipeline)
    const resolutions = claims.map((claim, i) => judge(claim.owner, found[3 * i], found[3 * i + 1]))
    const aging = claims.filter((_, i) => resolutions[i]?.status === 'ok' && Number(found[3 * i + 2]) < ttlMs)
    if (aging.length > 0) await keep([...new Set(aging.map((claim) => claim.session))])
    return resolutions
  }

  return {
    /** Makes the session when there is none; throws a 403 when it is somebody else's. Tells the place of this upload in listings, and what it replaces */
    open: (owner: string, session: string, file: string) => write(owner, session, file),

    /** From here on the file can be read */
    async commit(owner: string, record: FileRecord, upload: number): Promise<void> {
      const stored: Stored = { ...record, upload }
      await write(owner, record.session, record.id, JSON.stringify(stored))
    },

    resolve: (claims: readonly FileClaim[]) => look(claims),

    /** `owner` null: a work order vouches for the reader */
    async find(owner: string | null, session: string, file: string): Promise<FileRecord> {
      const [resolution] = await look([{ session, file, owner }])
      if (resolution?.status === 'ok') return resolution.record
      throw resolution?.status === 'forbidden' ? forbidden() : missing()
    },

    async list(owner: string, session: string): Promise<FileRecord[]> {
      const pipeline = redis.pipeline().hget(keys.session(session), 'owner').hvals(keys.records(session)).pttl(keys.session(session))
      const [found, records, ttl] = await answers(pipeline)
      if (found === null) throw missing()
      if (found !== owner) throw forbidden()
      if (Number(ttl) < ttlMs) await keep([session])
      const stored = (records as string[]).map((json) => JSON.parse(json) as Stored)
      return stored.sort((a, b) => a.upload - b.upload).map(({ upload: _, ...record }) => record)
    },

    /** From here on the file cannot be read */
    async remove(record: FileRecord): Promise<void> {
      const removed = await answer(redis.hdel(keys.records(record.session), record.id))
      if (removed === 0) throw missing()
    },

    ping: () => answer(redis.ping()),
  }
}
export type Catalog = ReturnType<typeof createCatalog>

/** KEYS session, records; ARGV owner, now, life in ms, then file id and record when there is one to write. Answers nil for another's session, else how many uploads it has seen */
const WRITE = `
local owner = redis.call('HGET', KEYS[1], 'owner')
if owner and owner ~= ARGV[1] then return nil end
if not owner then redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'createdAt', ARGV[2]) end
local upload = 0
if ARGV[4] then redis.call('HSET', KEYS[2], ARGV[4], ARGV[5]) else upload = redis.call('HINCRBY', KEYS[1], 'uploads', 1) end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return upload`

const judge = (owner: string | null, found: unknown, json: unknown): Resolution => {
  if (found === null) return { status: 'missing' }
  if (owner !== null && found !== owner) return { status: 'forbidden' }
  return json === null ? { status: 'missing' } : { status: 'ok', record: parse(String(json)) }
}

const parse = (json: string): FileRecord => {
  const { upload: _, ...record } = JSON.parse(json) as Stored
  return record
}

const missing = () => new AppError(404, 'not_found', 'Cannot find the file or its session: deleted, expired or never stored')
const forbidden = () => new AppError(403, 'forbidden', 'Cannot use this session: it belongs to somebody else')
