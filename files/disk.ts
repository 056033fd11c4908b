import { mkdir, open, readdir, rename, rm, rmdir, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { AppError, errnoOf } from '../errors.ts'
import type { Store } from './store.ts'

/** Beside the sessions, on the same filesystem, so that a rename is enough to publish; no id has a dot */
const INCOMING = '.incoming'

/** Files in a directory: for one machine, or a volume that all instances share */
export const diskStore = (root: string): Store => {
  const incoming = join(root, INCOMING)
  return {
    async put(key, body) {
      await mkdir(incoming, { recursive: true })
      const part = join(incoming, crypto.randomUUID())
      try {
        await write(part, body)
        await publish(part, join(root, key))
      } catch (error) {
        await rm(part, { force: true })
        if (errnoOf(error) === 'ENOSPC' || errnoOf(error) === 'EDQUOT')
          throw new AppError(507, 'store_full', 'Cannot store the file: the disk of the file store is full', { cause: error })
        throw error
      }
    },

    async get(key, { range }) {
      const path = join(root, key)
      const found = await stat(path).catch(unlessMissing)
      if (!found) {
        // no bytes are missing where the whole volume is: that throws
        await stat(incoming)
        return null
      }
      const file = Bun.file(path)
      const part = range ? file.slice(range.start, range.end + 1) : file
      return { size: range ? Math.max(0, Math.min(range.end + 1, found.size) - range.start) : found.size, body: part.stream() }
    },

    async remove(key) {
      const path = join(root, key)
      await rm(path, { force: true })
      await rmdir(dirname(path)).catch(unlessInUse)
    },

    async *list(prefix) {
      const slash = prefix.indexOf('/')
      const sessions = slash < 0 ? await readdir(root).catch(unlessMissing) : [prefix.slice(0, slash)]
      for (const session of sessions ?? []) {
        if (session === INCOMING) continue
        for (const name of (await readdir(join(root, session)).catch(unlessMissing)) ?? []) {
          const key = `${session}/${name}`
          const found = key.startsWith(prefix) && (await stat(join(root, key)).catch(unlessMissing))
          if (found) yield { key, lastModified: found.mtime }
        }
      }
    },

    async removeUnfinished(date) {
      for (const name of (await readdir(incoming).catch(unlessMissing)) ?? []) {
        const found = await stat(join(incoming, name)).catch(unlessMissing)
        if (found && found.mtime < date) await rm(join(incoming, name), { force: true })
      }
    },

    async check() {
      await mkdir(incoming, { recursive: true })
      const probe = join(incoming, crypto.randomUUID())
      await (await open(probe, 'wx')).close()
      await rm(probe)
    },
  }
}

const write = async (path: string, body: AsyncIterable<Uint8Array>): Promise<void> => {
  await using file = await open(path, 'wx', 0o600)
  for await (const chunk of body) {
    for (let written = 0; written < chunk.length; ) written += (await file.write(chunk, written)).bytesWritten
  }
}

/** The session's last file may be removed, and its directory with it, at any moment between the two steps */
const publish = async (part: string, path: string, triesLeft = 5): Promise<void> => {
  await mkdir(dirname(path), { recursive: true })
  await rename(part, path).catch((error) => {
    if (errnoOf(error) !== 'ENOENT' || triesLeft === 0) throw error
    return publish(part, path, triesLeft - 1)
  })
}

const unlessMissing = (error: unknown): null => {
  if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return null
  throw error
}

const unlessInUse = (error: unknown): void => {
  if (!['ENOTEMPTY', 'EEXIST', 'ENOENT'].includes(errnoOf(error) ?? '')) throw error
}
