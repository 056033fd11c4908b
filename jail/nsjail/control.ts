import { closeSync, writeSync } from 'node:fs'
import { errnoOf } from '../../errors.ts'

/** What the stub says (stub.c): `ready`, then `failed` with an errno or `ended` with a wait status */
export type Report = { readonly type: 'ready' | 'failed' | 'ended'; readonly value: number }

const REPORT_BYTES = 8
const TYPES: Readonly<Record<string, Report['type']>> = { R: 'ready', X: 'failed', E: 'ended' }

/** The worker's half of the control channel with a stub. Disposing of it ends the jail */
export type Control = Disposable & {
  /** The next report; `null` once the stub is gone */
  next(): Promise<Report | null>
  /** Has the stub run this program. Resolves with whether it was still there to be told */
  start(argv: readonly string[], env: Readonly<Record<string, string>>): Promise<boolean>
}

export const openControl = (descriptor: number): Control => {
  const reader = Bun.file(descriptor).stream().getReader()
  let rest = new Uint8Array()
  return {
    next: async () => {
      while (rest.length < REPORT_BYTES) {
        const { value, done } = await reader.read().catch(unlessGone)
        if (done) return null
        rest = Buffer.concat([rest, value])
      }
      const report = decodeReport(rest)
      rest = rest.subarray(REPORT_BYTES)
      return report
    },
    start: async (argv, env) => {
      for (let rest = encodeOrder(argv, env); rest.length > 0; ) {
        const written = writeSome(descriptor, rest)
        if (written === null) return false
        rest = rest.subarray(written)
        if (written === 0) await Bun.sleep(1)
      }
      return true
    },
    [Symbol.dispose]: () => {
      reader.releaseLock()
      closeSync(descriptor)
    },
  }
}

/** How much the stub's end took; 0 while it is full, which only the longest of orders make it; `null` once it is gone */
const writeSome = (descriptor: number, bytes: Uint8Array): number | null => {
  try {
    return writeSync(descriptor, bytes)
  } catch (error) {
    if (errnoOf(error) === 'EAGAIN') return 0
    if (errnoOf(error) === 'EPIPE' || errnoOf(error) === 'ECONNRESET') return null
    throw error
  }
}

/** A stub that died before it read its order does not end the stream but breaks it */
const unlessGone = (error: unknown): { done: true; value: undefined } => {
  if (errnoOf(error) === 'ECONNRESET') return { done: true, value: undefined }
  throw error
}

const decodeReport = (bytes: Uint8Array): Report | null => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, REPORT_BYTES)
  const type = TYPES[String.fromCharCode(view.getUint32(0, true))]
  return type ? { type, value: view.getInt32(4, true) } : null
}

/** `struct order` of stub.c and its strings. A NUL in a string would move the ones after it: callers refuse it */
const encodeOrder = (argv: readonly string[], env: Readonly<Record<string, string>>): Uint8Array => {
  const pairs = Object.entries(env).map(([name, value]) => `${name}=${value}`)
  const text = Buffer.from([...argv, ...pairs].map((string) => `${string}\0`).join(''))
  const header = Buffer.alloc(12)
  header.writeUInt32LE(text.length, 0)
  header.writeUInt32LE(argv.length, 4)
  header.writeUInt32LE(pairs.length, 8)
  return Buffer.concat([header, text])
}
