import { type Static, type TObject, Type as t } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { SetupError } from './errors.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/**
 * The environment as a typed, frozen object: one TypeBox property per variable, with its default and `description`.
 * An empty variable counts as unset. Throws a {@link SetupError} that lists every bad variable.
 */
export const read = <Schema extends TObject>(schema: Schema, env: Environment): Readonly<Static<Schema>> => {
  const given: Record<string, unknown> = {}
  for (const name of Object.keys(schema.properties)) {
    const text = env[name]?.trim()
    if (text) given[name] = text
  }
  const value = Value.Default(schema, Value.Convert(schema, given))
  const problems = [...Value.Errors(schema, value)].map(
    (problem) =>
      `  ${problem.path.slice(1)}: ${problem.schema.description ?? 'wrong value'}: ${problem.message}, found ${JSON.stringify(problem.value ?? null)}`,
  )
  if (problems.length > 0) throw new SetupError(`Cannot start: the environment is wrong\n${[...new Set(problems)].join('\n')}`)
  return Object.freeze(value as Static<Schema>)
}

/** A TCP port; 0 lets the system choose */
export const port = (fallback: number, description: string) => t.Integer({ minimum: 0, maximum: 65_535, default: fallback, description })

export const milliseconds = (fallback: number, description: string) =>
  t.Integer({ minimum: 1, default: fallback, description: `${description}, in ms` })

export const bytes = (fallback: number, description: string) =>
  t.Integer({ minimum: 1, default: fallback, description: `${description}, in bytes` })

/** Variables that several services read alike */
export const shared = {
  CODEAPI_DATA_DIR: t.String({ default: './.data', description: 'Directory for everything that one machine keeps' }),
  CODEAPI_HOST: t.String({ default: '127.0.0.1', description: 'Address to listen on' }),
  REDIS_URL: t.String({ default: 'redis://127.0.0.1:6379', description: 'Redis, as a URL or the path of a unix socket' }),
  FILE_SERVER_URL: t.String({ default: 'http://127.0.0.1:3000', description: 'Where the file service is' }),
  CODEAPI_INTERNAL_SERVICE_TOKEN: t.String({
    minLength: 16,
    description: 'Secret that api shows to the other services, 16 characters at least',
  }),
  CODEAPI_WORK_ORDER_PUBLIC_KEY: t.String({ description: 'Ed25519 key (SPKI, PEM) that work orders are verified with' }),
  CODEAPI_PACKAGES_DIRECTORY: t.Optional(
    t.String({ description: 'Volume with the runtime packages, instead of CODEAPI_DATA_DIR/packages' }),
  ),
  CODEAPI_RUN_DIRECTORY: t.String({
    default: '/run/codeapi',
    description: 'Directory for what lives as long as a jail; it and its parents must be open to all',
  }),
}
