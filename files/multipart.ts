import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  PutObjectCommand,
  type S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { log } from '../log.ts'
import { blame } from './blame.ts'

/** An upload holds this much of a file in memory, twice: a part on its way and one being filled. S3 takes 10000 parts, so 80 GB */
const PART_BYTES = 8 * 1024 * 1024

export type NewObject = { Bucket: string; Key: string; ContentType: string }

/**
 * Stores a body of any length, in parts when it is longer than one; when it fails, what S3 has of it is given up. Not `@aws-sdk/lib-storage`,
 * which makes new buffers for each part: 300 MiB took 215 MiB of memory there, and 85 here.
 */
export const putObject = async (client: S3Client, object: NewObject, body: AsyncIterable<Uint8Array>): Promise<void> => {
  const parts = inParts(body)
  try {
    const first = await parts.next()
    if (first.done || first.value.length < PART_BYTES)
      await client.send(new PutObjectCommand({ ...object, Body: first.value ?? Buffer.alloc(0) }))
    else await putParts(client, object, first.value, parts)
  } finally {
    // when S3 failed, who sends the body must not wait for it to be read
    await parts.return(undefined)
  }
}

const putParts = async (client: S3Client, object: NewObject, first: Buffer, rest: AsyncIterator<Buffer, undefined>) => {
  const { Bucket, Key } = object
  const { UploadId } = await client.send(new CreateMultipartUploadCommand(object))
  const done: { PartNumber: number; ETag: string | undefined }[] = []
  const send = (Body: Buffer, PartNumber: number) => {
    const sent = client.send(new UploadPartCommand({ Bucket, Key, UploadId, PartNumber, Body })).then(({ ETag }) => {
      done.push({ PartNumber, ETag })
    })
    // it is awaited when the next part is there: a failure before that is not an unhandled one
    sent.catch(() => {})
    return sent
  }
  try {
    let sending = send(first, 1)
    for (let part = await rest.next(), number = 2; !part.done; part = await rest.next(), number += 1) {
      await sending
      sending = send(part.value, number)
    }
    await sending
    await client.send(new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts: done } }))
  } catch (error) {
    await client.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId })).catch((failure) => {
      log.warn({ error: blame(failure) }, 'Cannot give up an upload: it stays until the next sweep')
    })
    throw error
  }
}

/** The body in parts of equal length, but the last. Two buffers take turns: a part is intact until the next but one is asked for */
const inParts = async function* (body: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer, undefined> {
  let [filling, other]: (Buffer | undefined)[] = []
  let filled = 0
  for await (const chunk of body) {
    for (let taken = 0; taken < chunk.length; ) {
      filling ??= Buffer.allocUnsafeSlow(PART_BYTES)
      const piece = chunk.subarray(taken, taken + PART_BYTES - filled)
      filling.set(piece, filled)
      taken += piece.length
      filled += piece.length
      if (filled < PART_BYTES) continue
      yield filling
      ;[filling, other] = [other, filling]
      filled = 0
    }
  }
  if (filling && filled > 0) yield filling.subarray(0, filled)
}
