import { type Static, Type as t } from '@sinclair/typebox'

export const Profile = t.Union([t.Literal('minimal'), t.Literal('complete')])
export type Profile = Static<typeof Profile>

/** One read-only artifact on the volume: an erofs image, named by the SHA-256 of its bytes */
export const Package = t.Object({
  name: t.String({ pattern: '^[a-z][a-z0-9-]*$' }),
  version: t.String(),
  /** `sha256:<64 hex>` of the artifact's bytes */
  digest: t.String({ pattern: '^sha256:[0-9a-f]{64}$' }),
  /** Size of the artifact in bytes */
  size: t.Integer(),
  /** Where the artifact lies, relative to the volume's root */
  artifact: t.String(),
  /** Where it is mounted in the jail's root: `/` for the base */
  mountPoint: t.String({ pattern: '^/' }),
  /** Languages that need this package: `python`, `node`, `bun`, `bash` */
  languages: t.Array(t.String()),
  /** Command name to absolute path in the jail */
  commands: t.Record(t.String(), t.String()),
  /** Added to the environment of every program */
  environment: t.Record(t.String(), t.String()),
  libraries: t.Array(t.Object({ name: t.String(), version: t.String() })),
})
export type Package = Static<typeof Package>

/** `catalog.json`: what the volume serves now; replaced by rename, so a reader sees the old set or the new one */
export const Catalog = t.Object({
  formatVersion: t.Literal(1),
  profile: Profile,
  /** ISO 8601 */
  createdAt: t.String(),
  /** The first is the base */
  packages: t.Array(Package, { minItems: 1 }),
})
export type Catalog = Static<typeof Catalog>
export const CATALOG_FILE = 'catalog.json'

/** `progress.json`: how far a build is, for people and for readiness; replaced by rename */
export const Progress = t.Object({
  profile: Profile,
  state: t.Union([t.Literal('building'), t.Literal('complete'), t.Literal('failed')]),
  /** The step under way, such as `python: installing 146 libraries` */
  step: t.String(),
  /** Steps done, of how many */
  done: t.Integer(),
  total: t.Integer(),
  /** ISO 8601 */
  startedAt: t.String(),
  updatedAt: t.String(),
  /** Why it failed */
  error: t.Optional(t.String()),
})
export type Progress = Static<typeof Progress>
export const PROGRESS_FILE = 'progress.json'
