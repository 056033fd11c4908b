import { AppError } from '../errors.ts'

/** A parser for JSON bodies of at most so many bytes; whatever the content type says, a body is read as JSON */
export const jsonBody =
  (limitBytes: number) =>
  async ({ request }: { request: Request }): Promise<unknown> => {
    const text = await readText(request, limitBytes)
    try {
      return JSON.parse(text)
    } catch {
      throw new AppError(400, 'Malformed JSON', 'Cannot read the body: send a JSON object with content-type application/json')
    }
  }

const readText = async (request: Request, limitBytes: number): Promise<string> => {
  const tooLarge = () => new AppError(413, 'request entity too large', `Cannot read the body: it is larger than ${limitBytes} bytes`)
  if (Number(request.headers.get('content-length') ?? 0) > limitBytes) throw tooLarge()
  const parts: Uint8Array[] = []
  let size = 0
  for await (const chunk of request.body ?? []) {
    size += chunk.length
    if (size > limitBytes) throw tooLarge()
    parts.push(chunk)
  }
  return Buffer.concat(parts).toString('utf8')
}
