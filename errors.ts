/**
 * An error that a caller may see: `code` is for programs, `status` for HTTP, `message` says what to do next.
 * The `cause` stays in the log and never reaches a response body.
 */
export class AppError extends Error {
  readonly code: string
  readonly status: number
  /** Further fields of the response body, such as `retry_after_seconds` */
  readonly details: Readonly<Record<string, unknown>>

  constructor(status: number, code: string, message: string, options: { cause?: unknown; details?: Record<string, unknown> } = {}) {
    super(message, { cause: options.cause })
    this.name = 'AppError'
    this.status = status
    this.code = code
    this.details = options.details ?? {}
  }
}

/** A mistake of the person who starts the service: printed without a stack, the process ends with exit code 1 */
export class SetupError extends Error {
  override readonly name = 'SetupError'
}

/** The text of anything that was thrown */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** `error.code` of a failed system call, such as `ENOENT` */
export const errnoOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException | undefined)?.code
