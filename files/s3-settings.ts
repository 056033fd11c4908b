import { SetupError } from '../errors.ts'
import type { FilesConfig } from './config.ts'

/** What the S3 client is made with. Without `endpoint` the AWS SDK finds the region's own, without `credentials` those of the machine or pod */
export type S3Settings = {
  readonly bucket: string
  readonly region: string
  readonly forcePathStyle: boolean
  readonly endpoint?: string
  readonly credentials?: { accessKeyId: string; secretAccessKey: string; sessionToken?: string }
}

/** The MINIO_* variables of the original service, read as it reads them */
export const s3Settings = (config: FilesConfig): S3Settings => {
  const [, scheme, host = ''] = /^(?:(https?):\/\/)?([^/]+)\/?$/.exec(config.MINIO_ENDPOINT) ?? []
  if (host === '') throw new SetupError(`Cannot start: MINIO_ENDPOINT is not a host: found ${JSON.stringify(config.MINIO_ENDPOINT)}`)
  const tls = scheme ? scheme === 'https' : config.MINIO_USE_SSL
  const port = config.MINIO_NO_PORT || /:\d+$/.test(host) ? '' : `:${config.MINIO_PORT}`
  const amazon = /(^|\.)amazonaws\.com(\.cn)?$/.test(host)
  return {
    bucket: config.MINIO_BUCKET,
    region: config.MINIO_REGION ?? config.AWS_REGION,
    // a certificate for *.s3.amazonaws.com does not match a bucket with a dot in its name
    forcePathStyle: !amazon || (tls && config.MINIO_BUCKET.includes('.')),
    ...(host !== 's3.amazonaws.com' && { endpoint: `${tls ? 'https' : 'http'}://${host}${port}` }),
    ...credentials(config),
  }
}

const credentials = (config: FilesConfig): Pick<S3Settings, 'credentials'> => {
  if (config.MINIO_USE_IRSA || !(config.MINIO_ACCESS_KEY || config.MINIO_SECRET_KEY)) return {}
  const { MINIO_ACCESS_KEY: accessKeyId, MINIO_SECRET_KEY: secretAccessKey, MINIO_SESSION_TOKEN: sessionToken } = config
  if (!accessKeyId || !secretAccessKey) throw new SetupError('Cannot start: set MINIO_ACCESS_KEY and MINIO_SECRET_KEY together, or neither')
  return { credentials: { accessKeyId, secretAccessKey, ...(sessionToken && { sessionToken }) } }
}
