import { mkdir, readdir, rm, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { type Static, Type as t } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { CATALOG_FILE, Catalog, Package, PROGRESS_FILE, type Progress } from './contract.ts'
import { discard, publish, sha256Of, writeWhole } from './disk.ts'

/** A package that was built, by the key of what it was built from. Size and time tell cheaply that the artifact is still what was written */
const Built = t.Object({ key: t.String(), package: Package, modifiedMs: t.Number() })
type Built = Static<typeof Built>

/** The volume's layout; every write is whole or absent */
export const openVolume = (root: string) => {
  const work = join(root, 'work')
  const built = join(work, 'built')
  const scratchOf = (name: string, key: string) => join(work, `${name}-${key}`)
  const recordOf = (name: string, key: string) => join(built, `${name}-${key}.json`)

  return {
    root,
    lock: join(root, 'init.lock'),
    logs: join(work, 'logs'),
    scratchOf,

    readCatalog: (): Promise<Catalog | null> => readJson(join(root, CATALOG_FILE), Catalog),
    writeCatalog: (catalog: Catalog): Promise<void> => writeWhole(join(root, CATALOG_FILE), `${JSON.stringify(catalog, null, 2)}\n`),
    writeProgress: (progress: Progress): Promise<void> => writeWhole(join(root, PROGRESS_FILE), `${JSON.stringify(progress, null, 2)}\n`),

    /** The finished package, if its artifact is there, unchanged */
    async findBuilt(name: string, key: string): Promise<Package | null> {
      const record = await readJson(recordOf(name, key), Built)
      if (!record) return null
      const path = join(root, record.package.artifact)
      const artifact = await stat(path).catch(() => null)
      if (!artifact || artifact.size !== record.package.size) return null
      if (artifact.mtimeMs === record.modifiedMs) return record.package
      // touched since: a volume that was copied or restored keeps its packages, a damaged file is built again
      return `sha256:${await sha256Of(path)}` === record.package.digest ? record.package : null
    },

    /** Gives a finished image its name and remembers what it was built from */
    async addBuilt(key: string, image: string, describe: Omit<Package, 'digest' | 'size' | 'artifact'>): Promise<Package> {
      const digest = await sha256Of(image)
      const artifact = join('artifacts', `${describe.name}-${digest.slice(0, 16)}.erofs`)
      await mkdir(join(root, 'artifacts'), { recursive: true })
      await publish(image, join(root, artifact))
      const { size, mtimeMs } = await stat(join(root, artifact))
      const entry: Package = { ...describe, digest: `sha256:${digest}`, size, artifact }
      const record: Built = { key, package: entry, modifiedMs: mtimeMs }
      await writeWhole(recordOf(describe.name, key), JSON.stringify(record))
      return entry
    },

    stepsDone: async (name: string, key: string): Promise<Set<string>> =>
      new Set(await readdir(join(scratchOf(name, key), 'done')).catch(() => [])),
    async markStep(name: string, key: string, step: string): Promise<void> {
      await mkdir(join(scratchOf(name, key), 'done'), { recursive: true })
      await writeWhole(join(scratchOf(name, key), 'done', step), '')
    },

    /** Removes the scratch of builds that nobody will continue */
    async dropScratch(except: readonly string[]): Promise<void> {
      const kept = new Set(['built', 'logs', ...except.map((path) => basename(path))])
      for (const name of await readdir(work).catch(() => [])) if (!kept.has(name)) await discard(join(work, name))
    },

    /** Removes artifacts, and the records of them, that no catalog of these names: a worker may still be copying one of the last catalog */
    async prune(catalogs: readonly (Catalog | null)[]): Promise<void> {
      const named = new Set(catalogs.flatMap((catalog) => catalog?.packages.map(({ artifact }) => artifact) ?? []))
      for (const file of await readdir(join(root, 'artifacts')).catch(() => [])) {
        if (!named.has(join('artifacts', file))) await rm(join(root, 'artifacts', file), { force: true })
      }
      for (const file of await readdir(built).catch(() => [])) {
        const record = await readJson(join(built, file), Built)
        if (!record || !named.has(record.package.artifact)) await rm(join(built, file), { force: true })
      }
    },
  }
}
export type Volume = ReturnType<typeof openVolume>

/** `null` if it is missing or not what this version writes: it is then built again */
const readJson = async <Schema extends typeof Catalog | typeof Built>(path: string, schema: Schema): Promise<Static<Schema> | null> => {
  const text = await Bun.file(path)
    .text()
    .catch(() => null)
  if (text === null) return null
  try {
    const value: unknown = JSON.parse(text)
    return Value.Check(schema, value) ? value : null
  } catch {
    return null
  }
}
