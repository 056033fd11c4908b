import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { Value } from '@sinclair/typebox/value'
import { AppError, errnoOf, messageOf } from '../errors.ts'
import { CATALOG_FILE, Catalog, type Package, PROGRESS_FILE, Progress } from '../init/contract.ts'
import { composeRoot, type RootPart } from '../jail/root.ts'
import { log } from '../log.ts'
import { type CacheOptions, openPackageCache } from './cache.ts'
import { pause } from './pause.ts'

const WATCH_MS = 1_000
/** After a set could not be used it is tried again: the disk may have space by then */
const RETRY_MS = 5_000

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
  /** For readiness: the profile that serves, what is being built, what is wrong with the newest set */
  status(): { readonly serving: string | null; readonly building: Progress | null; readonly problem: AppError | null }
  /** Why no set serves; `null` where one does */
  unavailable(): AppError | null
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
  let problem: AppError | null = null
  let artifacts: readonly string[] = []
  let seen = ''
  let retryAt = 0
  let serial = 0

  // where a set could not be used, putting an artifact right is enough for another attempt
  const version = () => [catalogPath, ...(problem ? artifacts : [])].map(versionOf).join()
  const refresh = async (): Promise<void> => {
    const before = version()
    if (before === seen && (problem === null || performance.now() < retryAt)) return
    seen = before
    try {
      const catalog = readCatalog(catalogPath)
      artifacts = catalog.packages.map(({ artifact }) => join(options.volume, artifact))
      const next = await compose(catalog, (wanted) => cache.ensure(wanted, digestsOf(catalog)), join(runDirectory, `root-${serial++}`))
      current?.retire()
      current = next
      problem = null
      seen = versionOf(catalogPath)
      log.info({ profile: catalog.profile, packages: catalog.packages.map(({ name, version }) => `${name} ${version}`) }, 'packages serve')
    } catch (error) {
      const known = problem?.message
      problem = error instanceof AppError ? error : new AppError(503, 'packages_unavailable', messageOf(error), { cause: error })
      // reading a whole artifact again and again would not make it another
      retryAt = problem.code === 'package_tampered' ? Infinity : performance.now() + RETRY_MS
      if (problem.message !== known) log.error({ code: problem.code, error: problem.message }, 'packages cannot be used')
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
  const unavailable = () => (current ? null : notYet(problem, progress()))
  return {
    acquire: () => {
      if (current) return current.acquire()
      throw notYet(problem, progress())
    },
    unavailable,
    status: () => ({ serving: current?.profile ?? null, building: progress(), problem }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

const watch = async (refresh: () => Promise<void>, signal: AbortSignal): Promise<void> => {
  while (!signal.aborted) {
    await refresh()
    await pause(WATCH_MS, signal)
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

/** Changes when the file does, or when the volume goes away or comes back */
const versionOf = (path: string): string => {
  try {
    const stat = statSync(path)
    return `${stat.ino} ${stat.mtimeMs} ${stat.size}`
  } catch (error) {
    return errnoOf(error) ?? 'unreadable'
  }
}

const readCatalog = (path: string): Catalog => {
  const catalog: unknown = parse(path, readText(path) ?? missingCatalog(path))
  if (Value.Check(Catalog, catalog)) return catalog
  const first = Value.Errors(Catalog, catalog).First()
  throw invalidCatalog(path, `${first?.path ?? ''} ${first?.message ?? ''}`)
}

const parse = (path: string, text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw invalidCatalog(path, messageOf(error))
  }
}

const invalidCatalog = (path: string, why: string): AppError => new AppError(503, 'catalog_invalid', `Cannot use ${path}: ${why}; run init`)

const missingCatalog = (path: string): never => {
  throw new AppError(503, 'packages_missing', `No packages are installed: ${path} is not there; run init`)
}

const readProgress = (path: string): Progress | null => {
  try {
    const progress: unknown = JSON.parse(readText(path) ?? 'null')
    return Value.Check(Progress, progress) ? progress : null
  } catch (error) {
    // news for people: what serves does not depend on it
    log.warn({ error: messageOf(error) }, 'cannot read how far the packages are')
    return null
  }
}

const readText = (path: string): string | null => {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null
    throw error
  }
}

const notYet = (problem: AppError | null, progress: Progress | null): AppError =>
  progress?.state === 'building'
    ? new AppError(503, 'packages_building', `The runtime packages are being built: ${stepOf(progress)}`)
    : (problem ?? new AppError(503, 'packages_unavailable', 'No packages serve'))

const stepOf = ({ step, done, total }: Progress): string => (done < total ? `${step} (step ${done + 1} of ${total})` : 'almost done')
