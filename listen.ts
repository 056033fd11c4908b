import type { AnyElysia } from 'elysia'
import { errnoOf, SetupError } from './errors.ts'

/** Where a service listens; `variable` is the one that sets its port */
export type Place = { readonly port: number; readonly hostname: string; readonly variable: string }

/** Disposing of it lets the requests under way finish, for a while */
export type Listening = AsyncDisposable & { readonly url: string }

/** How long a service that stops waits for its requests, in `ms` */
const DRAIN_MS = 25_000

/** Has a service listen. Throws a {@link SetupError} where the port is taken */
export const listen = (app: AnyElysia, { port, hostname, variable }: Place): Listening => {
  try {
    // never two on one port; an error's page is not for callers
    app.listen({ port, hostname, reusePort: false, development: false })
  } catch (error) {
    if (errnoOf(error) !== 'EADDRINUSE') throw error
    throw new SetupError(`Cannot listen on ${hostname}:${port}: another program does. Stop it, or set ${variable} to another port`)
  }
  return {
    url: app.server?.url.origin ?? '',
    [Symbol.asyncDispose]: async () => {
      const cut = setTimeout(() => void app.stop(true), DRAIN_MS)
      await app.stop().finally(() => clearTimeout(cut))
    },
  }
}
