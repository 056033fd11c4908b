import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { Value } from '@sinclair/typebox/value'
import { AppError, errnoOf, messageOf } from '../errors.ts'
import { CATALOG_FILE, Catalog, type Package, PROGRESS_FILE, Progress } from '../init/contract.ts'
import { composeRoot, type RootPart } from '../jail/root.ts'
import { log } from '../log.ts'
import { type CacheOptions, openPackageCache } from './cache.ts'

const WATCH_MS = 1_000
/** After a set could not be used it is tried again: the disk may have space by then */
const RETRY_MS = 30_000

/** A composed set of packages: a jail's root. Disposing of it lets go of it; it is unmounted when a newer one serves and nobody holds it */
export type Runtime = Disposable & {
  readonly root: string
  readonly packages: Catalog['packages']
  /** The error for a command that no package provides */
  missing(command: string): AppError
}

export type Packages = AsyncDisposable & {
  /** The set that serves now. Throws an {@link AppError} that says why there is none */
  acquire(): Runtime
  /** For readiness: the profile that serves, what is being built, what is wrong */
  status(): { readonly serving: string | null; readonly building: Progress | null; readonly problem: string | null }
}

export type PackagesOptions = CacheOptions & {
  /** Where roots are composed; its parents are open to all, as nsjail needs it */
  readonly runDirectory: string
}

/** Follows the volume's catalog: each new set is copied, verified, composed, and then serves every following run */
export const openPackages = async ({ runDirectory, ...options }: PackagesOptions): Promise<Packages> => {
  await using undo = new AsyncDisposableStack()
  const cache = undo.use(openPackageCache(options))
  const catalogPath = join(options.volume, CATALOG_FILE)
  let current: Composed | null = null
  let problem: string | null = null
  let seen = ''
  let retryAt = 0
  let serial = 0

  const refresh = async (): Promise<void> => {
    const version = versionOf(catalogPath)
    if (version === seen && (problem === null || Date.now() < retryAt)) return
    seen = version
    try {
      const catalog = readCatalog(catalogPath)
      const next = await compose(catalog, (wanted) => cache.ensure(wanted, digestsOf(catalog)), join(runDirectory, `root-${serial++}`))
      current?.retire()
      current = next
      problem = null
      log.info({ profile: catalog.profile, packages: catalog.packages.map(({ name, version }) => `${name} ${version}`) }, 'packages serve')
    } catch (error) {
      problem = messageOf(error)
      retryAt = Date.now() + RETRY_MS
      log.error({ error: problem }, 'packages cannot be used')
    }
  }
  await refresh()

  const stopped = new AbortController()
  const watching = watch(refresh, stopped.signal)
  undo.defer(async () => {
    stopped.abort()
    await watching
    current?.retire()
  })
  const owned = undo.move()
  const progress = () => readProgress(join(options.volume, PROGRESS_FILE))
  return {
    acquire: () => {
      if (current) return current.acquire()
      throw notYet(problem, progress())
    },
    status: () => ({ serving: current?.profile ?? null, building: progress(), problem }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

const watch = async (refresh: () => Promise<void>, signal: AbortSignal): Promise<void> => {
  while (!signal.aborted) {
    await refresh()
    await pause(WATCH_MS, undefined, { signal }).catch(() => 'stopped')
  }
}

type Composed = { readonly profile: string; acquire(): Runtime; retire(): void }

/** Copies what is not here yet, mounts it all */
const compose = async (catalog: Catalog, locate: (wanted: Package) => Promise<string>, root: string): Promise<Composed> => {
  const parts: RootPart[] = []
  for (const wanted of catalog.packages) parts.push({ image: await locate(wanted), mountPoint: wanted.mountPoint })
  const mounted = await composeRoot(parts, root)
  let holders = 0
  let retired = false
  const release = () => {
    holders--
    if (retired && holders === 0) mounted[Symbol.dispose]()
  }
  return {
    profile: catalog.profile,
    acquire: () => {
      holders++
      return {
        root,
        packages: catalog.packages,
        missing: (command) =>
          new AppError(503, 'runtime_unavailable', `Cannot run ${command}: no package of the ${catalog.profile} profile provides it`),
        [Symbol.dispose]: release,
      }
    },
    retire: () => {
      retired = true
      if (holders === 0) mounted[Symbol.dispose]()
    },
  }
}

const digestsOf = ({ packages }: Catalog): ReadonlySet<string> => new Set(packages.map(({ digest }) => digest))

/** Changes when the file does */
const versionOf = (path: string): string => {
  const stat = statSync(path, { throwIfNoEntry: false })
  return stat ? `${stat.ino} ${stat.mtimeMs} ${stat.size}` : 'none'
}

const readCatalog = (path: string): Catalog => {
  const catalog: unknown = JSON.parse(readText(path) ?? missingCatalog(path))
  if (Value.Check(Catalog, catalog)) return catalog
  const first = Value.Errors(Catalog, catalog).First()
  throw new AppError(503, 'catalog_invalid', `Cannot use ${path}: ${first?.path ?? ''} ${first?.message ?? ''}`)
}

const missingCatalog = (path: string): never => {
  throw new AppError(503, 'packages_missing', `No packages are installed: ${path} is not there; run init`)
}

const readProgress = (path: string): Progress | null => {
  const text = readText(path)
  const progress: unknown = text === null ? null : JSON.parse(text)
  return Value.Check(Progress, progress) ? progress : null
}

const readText = (path: string): string | null => {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null
    throw error
  }
}

const notYet = (problem: string | null, progress: Progress | null): AppError =>
  progress?.state === 'building'
    ? new AppError(
        503,
        'packages_building',
        `The runtime packages are being built: ${progress.step} (step ${progress.done + 1} of ${progress.total})`,
      )
    : new AppError(503, 'packages_unavailable', problem ?? 'No packages serve')
