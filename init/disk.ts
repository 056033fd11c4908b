import { mkdir, open, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { errnoOf } from '../errors.ts'

/** Makes what was written to a file, or the names in a directory, survive a power cut */
export const sync = async (path: string): Promise<void> => {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Publishes a finished file under its final name: a reader, or the next run, sees it whole or not at all */
export const publish = async (temporary: string, final: string): Promise<void> => {
  await sync(temporary)
  await rename(temporary, final)
  await sync(dirname(final))
}

/** For files that one process writes at a time */
export const writeWhole = async (path: string, text: string): Promise<void> => {
  await mkdir(dirname(path), { recursive: true })
  const temporary = `${path}.tmp`
  await Bun.write(temporary, text)
  await publish(temporary, path)
}

/** Renames first: a process of a killed run may still be writing into it for a moment, and must not meet what comes next */
export const discard = async (path: string): Promise<void> => {
  const grave = join(dirname(path), `.discarded-${crypto.randomUUID()}`)
  try {
    await rename(path, grave)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return
    throw error
  }
  await rm(grave, { recursive: true, force: true })
}

export const sha256Of = async (path: string): Promise<string> => {
  const hash = new Bun.CryptoHasher('sha256')
  for await (const chunk of Bun.file(path).stream()) hash.update(chunk)
  return hash.digest('hex')
}
