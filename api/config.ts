import { Type as t } from '@sinclair/typebox'
import { bytes, milliseconds, port, shared } from '../config.ts'

const MIB = 1024 * 1024

export const ApiConfig = t.Object({
  SERVICE_PORT: port(3112, 'Port of the api'),
  CODEAPI_HOST: shared.CODEAPI_HOST,
  REDIS_URL: shared.REDIS_URL,
  FILE_SERVER_URL: shared.FILE_SERVER_URL,
  CODEAPI_INTERNAL_SERVICE_TOKEN: shared.CODEAPI_INTERNAL_SERVICE_TOKEN,
  CODEAPI_WORK_ORDER_PRIVATE_KEY: t.String({ description: 'Ed25519 key (PKCS8, PEM) that work orders are signed with' }),
  LOCAL_MODE: t.Boolean({ default: false, description: 'Everybody who reaches the port is the same user; no credentials are looked at' }),
  CODEAPI_ALLOW_LOCAL_MODE_ON_NETWORK: t.Boolean({ default: false, description: 'Allow LOCAL_MODE on another address than loopback' }),
  CODEAPI_HTTP_JSON_LIMIT: bytes(50 * MIB, 'Largest JSON body'),
  JOB_TIMEOUT: milliseconds(300_000, 'How long an execution may wait and run together'),
  CODEAPI_MAX_WAITING_JOBS: t.Integer({
    minimum: 1,
    default: 500,
    description: 'Programs that may wait for a worker; one more is refused',
  }),
  MAX_FILE_SIZE: bytes(25 * MIB, 'Largest uploaded file'),
  SANDBOX_RUN_TIMEOUT: milliseconds(30_000, 'Wall time of a run'),
  SANDBOX_RUN_CPU_TIME: milliseconds(60_000, 'CPU time of a run, all its processes together'),
  SANDBOX_RUN_CPUS: t.Number({ exclusiveMinimum: 0, default: 2, description: 'CPUs that a run may keep busy at once' }),
  SANDBOX_RUN_MEMORY_LIMIT: bytes(512 * MIB, 'Memory of a run; its files come on top'),
  SANDBOX_DISK_LIMIT: bytes(256 * MIB, 'What a run may write to /mnt/data'),
  SANDBOX_OUTPUT_MAX_SIZE: t.Integer({
    minimum: 1,
    default: 65_536,
    description: 'Characters kept of stdout, and of stderr; LibreChat counts on 65536',
  }),
  SANDBOX_MAX_PROCESS_COUNT: t.Integer({ minimum: 1, default: 128, description: 'Processes and threads of a run' }),
  SANDBOX_MAX_OPEN_FILES: t.Integer({ minimum: 16, default: 2_048, description: 'Open files of a process' }),
  SANDBOX_MAX_OUTPUT_FILES: t.Integer({ minimum: 0, default: 50, description: 'Files kept of a run' }),
  SANDBOX_MAX_FILE_SIZE: bytes(25 * MIB, 'Largest file kept of a run'),
})
export type ApiConfig = Readonly<(typeof ApiConfig)['static']>
