import {
  AbortMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadBucketCommand,
  ListMultipartUploadsCommand,
  paginateListObjectsV2,
  S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3'
import type { FilesConfig } from './config.ts'
import { isObjectKey } from './contract.ts'
import { putObject } from './multipart.ts'
import { type S3Settings, s3Settings } from './s3-settings.ts'
import type { Store } from './store.ts'
import { whole } from './whole.ts'

/** How long S3 may take to connect, to begin an answer, to take a part, and between two chunks of an answer, in `ms` */
const PATIENCE = { connectMs: 3_000, answerMs: 5_000, partMs: 60_000, silenceMs: 30_000 }
const ATTEMPTS = 3
/** Downloads under way at once, each of which holds a connection */
const MAX_CONNECTIONS = 512

/** Objects in a bucket of anything that speaks S3 */
export const s3Store = (config: FilesConfig, patience = PATIENCE): Store => {
  const settings = s3Settings(config)
  const { bucket: Bucket } = settings
  const client = connect(settings, patience)
  const options = { requestTimeout: patience.answerMs }

  return {
    put: (Key, body, { contentType }) => putObject(client, { Bucket, Key, ContentType: contentType }, body),

    async get(Key, { range, signal }) {
      const Range = range && `bytes=${range.start}-${range.end}`
      const command = new GetObjectCommand({ Bucket, Key, ...(Range && { Range }) })
      const found = await client.send(command, { ...options, abortSignal: signal }).catch(unlessMissing)
      if (!found?.Body || found.ContentLength === undefined) return null
      return {
        size: found.ContentLength,
        body: whole(found.Body.transformToWebStream(), found.ContentLength, { silenceMs: patience.silenceMs, signal }),
      }
    },

    async remove(Key) {
      await client.send(new DeleteObjectCommand({ Bucket, Key }), options)
    },

    async *list(Prefix) {
      for await (const { Contents } of paginateListObjectsV2({ client }, { Bucket, Prefix })) {
        for (const { Key, LastModified } of Contents ?? []) if (Key && LastModified) yield { key: Key, lastModified: LastModified }
      }
    },

    async removeUnfinished(date) {
      // those that are aborted are not listed again, so the first page suffices each time
      for (;;) {
        const { Uploads = [], IsTruncated } = await client.send(new ListMultipartUploadsCommand({ Bucket }), options)
        const left = Uploads.filter(({ Key = '', Initiated }) => isObjectKey(Key) && Initiated && Initiated < date)
        for (const { Key, UploadId } of left) await client.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId }), options)
        if (!IsTruncated || left.length === 0) return
      }
    },

    async check(signal) {
      await client.send(new HeadBucketCommand({ Bucket }), { ...options, abortSignal: signal })
    },
  }
}

const connect = ({ bucket: _, ...settings }: S3Settings, patience: typeof PATIENCE) =>
  new S3Client({
    ...settings,
    maxAttempts: ATTEMPTS,
    requestHandler: {
      connectionTimeout: patience.connectMs,
      requestTimeout: patience.partMs,
      throwOnRequestTimeout: true,
      httpAgent: { maxSockets: MAX_CONNECTIONS },
      httpsAgent: { maxSockets: MAX_CONNECTIONS },
    },
    // many servers that speak S3 know no checksum but the signature's own
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  })

/** Also a range beyond an object that has been replaced by a shorter one */
const unlessMissing = (error: unknown): null => {
  if (error instanceof S3ServiceException && ['NoSuchKey', 'NotFound', 'InvalidRange'].includes(error.name)) return null
  throw error
}
