import { Type as t } from '@sinclair/typebox'
import { type Environment, read, shared } from '../config.ts'
import { Profile } from './contract.ts'

export const InitConfig = t.Object({
  CODEAPI_DATA_DIR: shared.CODEAPI_DATA_DIR,
  CODEAPI_PACKAGES_DIRECTORY: shared.CODEAPI_PACKAGES_DIRECTORY,
  CODEAPI_PACKAGES_PROFILE: t.Union(Profile.anyOf, { default: 'complete', description: 'Which runtimes to build: minimal or complete' }),
  CODEAPI_DEBIAN_MIRROR: t.String({
    default: 'http://deb.debian.org/debian',
    description: 'Debian mirror; packages are verified by signature',
  }),
  CODEAPI_DEBIAN_SECURITY_MIRROR: t.String({
    default: 'http://deb.debian.org/debian-security',
    description: 'Debian mirror for security updates',
  }),
})

export const readInitConfig = (env: Environment) => read(InitConfig, env)
export type InitConfig = ReturnType<typeof readInitConfig>
