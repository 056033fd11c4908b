import { expect, test } from 'bun:test'
import { type Environment, read } from '../config.ts'
import { SetupError } from '../errors.ts'
import { FilesConfig } from './config.ts'
import { type S3Settings, s3Settings } from './s3-settings.ts'

const settings = (env: Environment): S3Settings =>
  s3Settings(read(FilesConfig, { CODEAPI_INTERNAL_SERVICE_TOKEN: 'x'.repeat(16), CODEAPI_WORK_ORDER_PUBLIC_KEY: 'x', ...env }))

const amazon = { MINIO_ENDPOINT: 's3.amazonaws.com', MINIO_NO_PORT: 'true', MINIO_USE_SSL: 'true', MINIO_BUCKET: 'b' }

test.each<[means: string, env: Environment, expected: Partial<S3Settings>]>([
  [
    'nothing is a local server',
    {},
    { endpoint: 'http://localhost:9000', forcePathStyle: true, region: 'us-east-1', bucket: 'test-bucket' },
  ],
  ['a host and a port', { MINIO_ENDPOINT: 'minio', MINIO_PORT: '1234' }, { endpoint: 'http://minio:1234' }],
  ['TLS in any case', { MINIO_ENDPOINT: 'minio', MINIO_USE_SSL: 'TRUE', MINIO_NO_PORT: 'True' }, { endpoint: 'https://minio' }],
  ['a full URL', { MINIO_ENDPOINT: 'https://minio.example:9443/' }, { endpoint: 'https://minio.example:9443' }],
  ['the region of MinIO before that of AWS', { MINIO_REGION: 'a', AWS_REGION: 'b' }, { region: 'a' }],
  ['Amazon by region and bucket host', { ...amazon, AWS_REGION: 'eu-west-1' }, { forcePathStyle: false, region: 'eu-west-1' }],
  ['Amazon with a dot in the bucket by path', { ...amazon, MINIO_BUCKET: 'a.b' }, { forcePathStyle: true }],
  [
    "Amazon's regional host",
    { ...amazon, MINIO_ENDPOINT: 's3.eu-west-1.amazonaws.com' },
    { endpoint: 'https://s3.eu-west-1.amazonaws.com', forcePathStyle: false },
  ],
  [
    'given keys',
    { MINIO_ACCESS_KEY: 'a', MINIO_SECRET_KEY: 's', MINIO_SESSION_TOKEN: 't' },
    { credentials: { accessKeyId: 'a', secretAccessKey: 's', sessionToken: 't' } },
  ],
])('%s', (_, env, expected) => {
  expect(settings(env)).toMatchObject(expected)
})

test('the AWS SDK finds host and credentials itself where none are given, or IRSA is asked for', () => {
  expect(Object.keys(settings(amazon))).toEqual(['bucket', 'region', 'forcePathStyle'])
  expect(settings({ MINIO_USE_IRSA: 'true', MINIO_ACCESS_KEY: 'a', MINIO_SECRET_KEY: 's' }).credentials).toBeUndefined()
})

test('half a pair of keys stops the start', () => {
  expect(() => settings({ MINIO_ACCESS_KEY: 'a' })).toThrow(SetupError)
  expect(() => settings({ MINIO_SECRET_KEY: 's' })).toThrow(SetupError)
})
