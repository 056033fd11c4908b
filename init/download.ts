import { createHash } from 'node:crypto'
import { appendFile, mkdir, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { messageOf, SetupError } from '../errors.ts'
import { publish } from './disk.ts'
import { isDiskFull } from './explain.ts'

/** As npm writes it: `sha512-<base64>`, `sha256-<base64>` */
export type Integrity = string
export const integrityOfSha256 = (hex: string): Integrity => `sha256-${Buffer.from(hex, 'hex').toString('base64')}`

export type Download = {
  url: string
  to: string
  integrity: Integrity
  signal?: AbortSignal
  onBytes?: (bytes: number) => void
}

const TRIES = 4
const PAUSE_MS = 1_000
const STALL_MS = 60_000

/** Fetches a file and verifies it. What an interrupted download left is continued; nothing unverified ever has the final name */
export const download = async (wanted: Download): Promise<void> => {
  await mkdir(dirname(wanted.to), { recursive: true })
  const part = `${wanted.to}.part`
  const continued = (await sizeOf(part)) > 0
  await fetchRest(wanted, part)
  let found = await integrityOf(part, wanted.integrity)
  if (found !== wanted.integrity && continued) {
    await rm(part)
    await fetchRest(wanted, part)
    found = await integrityOf(part, wanted.integrity)
  }
  if (found !== wanted.integrity) {
    await rm(part)
    throw new SetupError(
      `Cannot use ${wanted.url}: what came is not what was locked. Wanted ${wanted.integrity}, got ${found}. ` +
        'Try again; if it stays so, a proxy alters downloads, or the lock in init/lock/ must be renewed',
    )
  }
  await publish(part, wanted.to)
}

const fetchRest = async (wanted: Download, part: string): Promise<void> => {
  for (let tries = 1; ; tries++) {
    try {
      return await fetchOnce(wanted, part)
    } catch (error) {
      wanted.signal?.throwIfAborted()
      if (error instanceof Refused || tries === TRIES) {
        const fix = isDiskFull(error) ? 'Free some space' : 'Check the network and the proxy settings'
        throw new SetupError(`Cannot download ${wanted.url}: ${messageOf(error)}. ${fix}, then run this again`)
      }
      await Bun.sleep(PAUSE_MS * tries)
    }
  }
}

/** An answer that will be the same next time */
class Refused extends Error {}

const fetchOnce = async ({ url, signal, onBytes }: Download, part: string): Promise<void> => {
  const have = await sizeOf(part)
  const stalled = new AbortController()
  const timer = setTimeout(() => stalled.abort(new Error(`no byte for ${STALL_MS / 1_000} s`)), STALL_MS)
  try {
    const response = await fetch(url, {
      headers: have > 0 ? { range: `bytes=${have}-` } : {},
      signal: signal ? AbortSignal.any([signal, stalled.signal]) : stalled.signal,
    })
    if (response.status === 416) return // all of it is there
    if (!response.ok || !response.body) {
      const said = `the server answered ${response.status}`
      throw response.status < 500 && response.status !== 429 ? new Refused(said) : new Error(said)
    }
    if (response.status !== 206) await rm(part, { force: true })
    let bytes = response.status === 206 ? have : 0
    for await (const chunk of response.body) {
      timer.refresh()
      await appendFile(part, chunk)
      bytes += chunk.length
      onBytes?.(bytes)
    }
  } finally {
    clearTimeout(timer)
  }
}

const sizeOf = async (path: string): Promise<number> => (await stat(path).catch(() => null))?.size ?? 0

const integrityOf = async (path: string, like: Integrity): Promise<Integrity> => {
  const algorithm = like.slice(0, like.indexOf('-'))
  const hash = createHash(algorithm)
  for await (const chunk of Bun.file(path).stream()) hash.update(chunk)
  return `${algorithm}-${hash.digest('base64')}`
}
