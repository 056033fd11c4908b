import type { Captured } from './outcome.ts'

/**
 * Reads a stream to its end and keeps the first `keepChars` UTF-16 code units of it (spec/http-api.md §5.2), never half a character.
 * What comes after is read and dropped, so that a program that prints too much can still end by itself; past `drainBytes` in all
 * `onFlood` is called once.
 */
export const capture = async (
  stream: ReadableStream<Uint8Array>,
  { keepChars, drainBytes, onFlood }: { keepChars: number; drainBytes: number; onFlood: () => void },
): Promise<Captured> => {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
  const parts: string[] = []
  let kept = 0
  let read = 0
  let truncated = false
  const keep = (text: string) => {
    if (text.length <= keepChars - kept) parts.push(text)
    else if (!truncated) {
      parts.push(wholeCharacters(text, keepChars - kept))
      truncated = true
    }
    kept = truncated ? keepChars : kept + text.length
  }
  for await (const chunk of stream) {
    const before = read
    read += chunk.length
    if (!truncated) keep(decoder.decode(chunk, { stream: true }))
    if (before <= drainBytes && read > drainBytes) onFlood()
  }
  if (!truncated) keep(decoder.decode())
  return { text: parts.join(''), truncated }
}

const wholeCharacters = (text: string, length: number): string => {
  const last = text.charCodeAt(length - 1)
  const splitsPair = last >= 0xd800 && last <= 0xdbff
  return text.slice(0, splitsPair ? length - 1 : length)
}
