import { closeSync } from 'node:fs'

/** What the stub says (stub.c): `ready`, then `failed` with an errno or `ended` with a wait status */
export type Report = { readonly type: 'ready' | 'failed' | 'ended'; readonly value: number }

const REPORT_BYTES = 8
const TYPES: Readonly<Record<string, Report['type']>> = { R: 'ready', X: 'failed', E: 'ended' }

/** The worker's half of the control channel with a stub. Disposing of it ends the jail */
export type Control = Disposable & {
  /** The next report; `null` once the stub is gone */
  next(): Promise<Report | null>
  /** Has the stub run this program */
  start(argv: readonly string[], env: Readonly<Record<string, string>>): Promise<void>
}

export const openControl = (descriptor: number): Control => {
  const reader = Bun.file(descriptor).stream().getReader()
  let rest = new Uint8Array()
  return {
    next: async () => {
      while (rest.length < REPORT_BYTES) {
        const { value, done } = await reader.read()
        if (done) return null
        rest = Buffer.concat([rest, value])
      }
      const report = decodeReport(rest)
      rest = rest.subarray(REPORT_BYTES)
      return report
    },
    start: async (argv, env) => {
      const writer = Bun.file(descriptor).writer()
      writer.write(encodeOrder(argv, env))
      await writer.end()
    },
    [Symbol.dispose]: () => {
      reader.releaseLock()
      closeSync(descriptor)
    },
  }
}

const decodeReport = (bytes: Uint8Array): Report | null => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, REPORT_BYTES)
  const type = TYPES[String.fromCharCode(view.getUint32(0, true))]
  return type ? { type, value: view.getInt32(4, true) } : null
}

/** `struct order` of stub.c and its strings. A NUL in a string would move the ones after it: callers refuse it */
export const encodeOrder = (argv: readonly string[], env: Readonly<Record<string, string>>): Uint8Array => {
  const pairs = Object.entries(env).map(([name, value]) => `${name}=${value}`)
  const text = Buffer.from([...argv, ...pairs].map((string) => `${string}\0`).join(''))
  const header = Buffer.alloc(12)
  header.writeUInt32LE(text.length, 0)
  header.writeUInt32LE(argv.length, 4)
  header.writeUInt32LE(pairs.length, 8)
  return Buffer.concat([header, text])
}
