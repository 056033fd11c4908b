import { messageOf } from '../errors.ts'

/** What failed and why, down to the first cause; for the log only */
export const blame = (error: unknown): string =>
  error instanceof Error && error.cause !== undefined ? `${error.message}: ${blame(error.cause)}` : messageOf(error)
