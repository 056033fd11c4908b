import { Type as t } from '@sinclair/typebox'
import { milliseconds, port, shared } from '../config.ts'

export const FilesConfig = t.Object({
  CODEAPI_DATA_DIR: shared.CODEAPI_DATA_DIR,
  REDIS_URL: shared.REDIS_URL,
  FILE_SERVER_PORT: port(3000, 'Port of the file service'),
  FILE_SERVER_HOST: t.Optional(t.String({ description: 'Address of the file service, instead of CODEAPI_HOST' })),
  CODEAPI_HOST: shared.CODEAPI_HOST,
  CODEAPI_INTERNAL_SERVICE_TOKEN: shared.CODEAPI_INTERNAL_SERVICE_TOKEN,
  CODEAPI_WORK_ORDER_PUBLIC_KEY: shared.CODEAPI_WORK_ORDER_PUBLIC_KEY,
  SESSION_CACHE_TTL: t.Integer({
    minimum: 60,
    default: 86_400,
    description: 'How long a file is kept after its last use, in s; LibreChat counts on 82800',
  }),
  CODEAPI_FILES_SWEEP_MS: milliseconds(300_000, 'Pause between two sweeps of expired files'),
  CODEAPI_FILE_STORE: t.Union([t.Literal('disk'), t.Literal('s3')], {
    default: 'disk',
    description: "Where the bytes are: 'disk' (CODEAPI_DATA_DIR/files) or 's3'",
  }),
  MINIO_ENDPOINT: t.String({ default: 'localhost', description: 'Host of the S3 server, with or without a scheme' }),
  MINIO_PORT: port(9000, 'Port of the S3 server'),
  MINIO_NO_PORT: t.Boolean({ default: false, description: "Use the scheme's own port" }),
  MINIO_USE_SSL: t.Boolean({ default: false, description: 'Speak TLS to the S3 server' }),
  MINIO_BUCKET: t.String({ default: 'test-bucket', description: 'Bucket; it must exist' }),
  MINIO_REGION: t.Optional(t.String({ description: 'Region, instead of AWS_REGION' })),
  AWS_REGION: t.String({ default: 'us-east-1', description: 'Region' }),
  MINIO_ACCESS_KEY: t.Optional(t.String({ description: "Access key; without it the AWS SDK's own chain decides" })),
  MINIO_SECRET_KEY: t.Optional(t.String({ description: 'Secret of the access key' })),
  MINIO_SESSION_TOKEN: t.Optional(t.String({ description: 'Session token of a temporary access key' })),
  MINIO_USE_IRSA: t.Boolean({
    default: false,
    description: 'Take the credentials of the Kubernetes service account, whatever keys are set',
  }),
})
export type FilesConfig = Readonly<(typeof FilesConfig)['static']>
