import { Database } from 'bun:sqlite'
import { afterEach, describe, expect, test } from 'bun:test'
import {
  copyFileSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { CATALOG_FILE, type Catalog, type Package } from '../init/contract.ts'
import { MountFlag, mount, unmount } from '../jail/syscalls.ts'
import { openPackageCache } from '../worker/cache.ts'
import { until } from './machine.ts'
import { type Answer, exec, jailsMissing, startServices, startWorkerProcess } from './services.ts'

let cleanUp = new AsyncDisposableStack()
afterEach(async () => {
  const now = cleanUp
  cleanUp = new AsyncDisposableStack()
  await now.disposeAsync()
})

const temporary = (parent: string): string => {
  const directory = mkdtempSync(join(parent, 'codeapi-volume-'))
  cleanUp.defer(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

const sha256 = (path: string) => `sha256:${new Bun.CryptoHasher('sha256').update(readFileSync(path)).digest('hex')}`

/** A volume with the real packages, and a small one of our own that may be spoilt */
const openVolume = () => {
  const real = Bun.env.CODEAPI_TEST_PACKAGES ?? ''
  const volume = temporary(tmpdir())
  const catalog: Catalog = JSON.parse(readFileSync(join(real, CATALOG_FILE), 'utf8'))
  mkdirSync(join(volume, 'artifacts'))
  for (const { artifact } of catalog.packages) symlinkSync(join(real, artifact), join(volume, artifact))
  const tree = join(volume, 'tree')
  mkdirSync(tree)
  writeFileSync(join(tree, 'hello'), 'from the package\n')
  const image = join(volume, 'artifacts', 'extra.erofs')
  Bun.spawnSync(['mkfs.erofs', image, tree])
  const extra: Package = {
    name: 'extra',
    version: '1',
    digest: sha256(image),
    size: Bun.file(image).size,
    artifact: 'artifacts/extra.erofs',
    mountPoint: '/var/opt',
    languages: [],
    commands: {},
    environment: {},
    libraries: [],
  }
  /** As init does it */
  const publish = (packages: readonly Package[]) => {
    writeFileSync(join(volume, 'catalog.tmp'), JSON.stringify({ ...catalog, packages }))
    renameSync(join(volume, 'catalog.tmp'), join(volume, CATALOG_FILE))
  }
  publish([...catalog.packages, extra])
  return { volume, image, extra, packages: catalog.packages, publish }
}

/** A cache that has the real packages already, without a second copy of their bytes */
const openCache = async (): Promise<string> => {
  const shared = Bun.env.CODEAPI_PACKAGE_CACHE_DIRECTORY ?? ''
  const real = Bun.env.CODEAPI_TEST_PACKAGES ?? ''
  const { packages }: Catalog = JSON.parse(readFileSync(join(real, CATALOG_FILE), 'utf8'))
  using filled = openPackageCache({ volume: real, directory: shared, budgetBytes: Number.MAX_SAFE_INTEGER })
  for (const wanted of packages) await filled.ensure(wanted, new Set())
  const directory = temporary(dirname(shared))
  for (const name of readdirSync(shared).filter((name) => name.endsWith('.erofs'))) linkSync(join(shared, name), join(directory, name))
  using database = new Database(join(shared, 'packages.sqlite'))
  database.run('VACUUM INTO ?', [join(directory, 'packages.sqlite')])
  return directory
}

const start = async (volume: string, given?: string) => {
  const cache = given ?? (await openCache())
  const services = cleanUp.use(await startServices({ worker: false }))
  const worker = cleanUp.use(
    await startWorkerProcess({ ...services.env, CODEAPI_PACKAGES_DIRECTORY: volume, CODEAPI_PACKAGE_CACHE_DIRECTORY: cache }),
  )
  const ready = async (): Promise<Answer> => {
    const response = await fetch(`${worker.url}/ready`)
    return { status: response.status, body: await response.json() }
  }
  const hello = () => exec(services.url, { lang: 'bash', code: 'cat /var/opt/hello' })
  /** It is not ready, says why, and so does the api */
  const fails = async (code: string, cause: string) => {
    await until('the api knows why', async () => (await hello()).body.error === code)
    expect(await hello()).toMatchObject({ status: 503, body: { error: code, message: expect.stringContaining(cause) } })
    expect(await ready()).toMatchObject({
      status: 503,
      body: { ready: false, problem: expect.stringContaining(cause), packages: { serving: null, problem: { code } } },
    })
  }
  const recovers = async () => {
    await until('it is ready', async () => (await ready()).status === 200)
    await until('a program runs', async () => (await hello()).status === 200)
    expect((await hello()).body.stdout).toBe('from the package\n')
  }
  return { services, worker, ready, hello, fails, recovers }
}

describe.skipIf(jailsMissing() !== null)('a volume', () => {
  test('with a tampered package serves nothing and says which, until it is right again', async () => {
    const { volume, image } = openVolume()
    copyFileSync(image, `${image}.good`)
    const bytes = readFileSync(image)
    bytes[bytes.length - 1] = 0xff ^ (bytes.at(-1) ?? 0)
    writeFileSync(image, bytes)
    const { fails, recovers } = await start(volume)
    await fails('package_tampered', image)
    renameSync(`${image}.good`, image)
    await recovers()
  })

  test('without a package’s artifact serves nothing and says which, until it is there', async () => {
    const { volume, image } = openVolume()
    renameSync(image, `${image}.away`)
    const { fails, recovers } = await start(volume)
    await fails('package_missing', image)
    renameSync(`${image}.away`, image)
    await recovers()
  })

  test('without a catalog, or with a broken one, serves nothing and says so', async () => {
    const { volume, packages, extra, publish } = openVolume()
    rmSync(join(volume, CATALOG_FILE))
    const { fails, recovers } = await start(volume)
    await fails('packages_missing', join(volume, CATALOG_FILE))
    writeFileSync(join(volume, CATALOG_FILE), '{"formatVersion": 1,')
    await fails('catalog_invalid', join(volume, CATALOG_FILE))
    publish([...packages, extra])
    await recovers()
  })

  test('whose newest set is broken goes on serving the last one', async () => {
    const { volume, packages, extra, publish } = openVolume()
    const { ready, hello, recovers } = await start(volume)
    await recovers()
    publish([...packages, { ...extra, digest: `sha256:${'0'.repeat(64)}` }])
    await until('it is noticed', async () => (await ready()).body.packages.problem?.code === 'package_tampered')
    expect((await ready()).status).toBe(200)
    expect((await hello()).body.stdout).toBe('from the package\n')
    publish([...packages, extra])
    await until('it is well again', async () => (await ready()).body.packages.problem === null)
  })

  test('that does not fit on the worker’s disk is named, and served once there is room', async () => {
    const { volume, packages, extra, publish } = openVolume()
    const cache = temporary(tmpdir())
    mount('tiny', cache, 'tmpfs', MountFlag.noSuid, 'size=2m')
    cleanUp.defer(() => unmount(cache))
    const [base] = packages as [Package, ...Package[]]
    publish([base, extra])
    const { fails, hello } = await start(volume, cache)
    await fails('package_no_space', base.name)
    mount('tiny', cache, 'tmpfs', MountFlag.noSuid | MountFlag.remount, `size=${base.size + 20_000_000}`)
    await until('it serves', async () => (await hello()).body.stdout === 'from the package\n')
  })
})
