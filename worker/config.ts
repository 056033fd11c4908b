import { Type as t } from '@sinclair/typebox'
import { bytes, port, shared } from '../config.ts'

const GIB = 1024 ** 3

export const WorkerConfig = t.Object({
  CODEAPI_DATA_DIR: shared.CODEAPI_DATA_DIR,
  REDIS_URL: shared.REDIS_URL,
  WORKER_HEALTH_PORT: port(3113, 'Port of the worker: health and readiness only'),
  CODEAPI_HOST: shared.CODEAPI_HOST,
  FILE_SERVER_URL: shared.FILE_SERVER_URL,
  CODEAPI_WORK_ORDER_PUBLIC_KEY: shared.CODEAPI_WORK_ORDER_PUBLIC_KEY,
  CODEAPI_HARDENED_SANDBOX_MODE: t.Boolean({ default: true, description: 'Refuse to start where a limit cannot be enforced' }),
  CODEAPI_PACKAGES_DIRECTORY: shared.CODEAPI_PACKAGES_DIRECTORY,
  CODEAPI_PACKAGE_CACHE_DIRECTORY: t.Optional(
    t.String({ description: 'Local copies of packages, shared by the workers of a machine; CODEAPI_DATA_DIR/worker if unset' }),
  ),
  CODEAPI_PACKAGE_CACHE_BYTES: bytes(20 * GIB, 'Local copies of packages kept at most'),
  CODEAPI_RUN_DIRECTORY: shared.CODEAPI_RUN_DIRECTORY,
  SANDBOX_MAX_CONCURRENT_JOBS: t.Integer({ minimum: 1, maximum: 128, default: 8, description: 'Programs at once' }),
  NSJAIL_PATH: t.String({ default: '/usr/local/bin/nsjail', description: 'nsjail 3.6' }),
  SANDBOX_LAUNCH_PATH: t.String({ default: '/usr/local/lib/codeapi/launch', description: 'Compiled jail/nsjail/launch.c' }),
  SANDBOX_STUB_PATH: t.String({ default: '/usr/local/lib/codeapi/stub', description: 'Compiled jail/nsjail/stub.c' }),
})
export type WorkerConfig = Readonly<(typeof WorkerConfig)['static']>
