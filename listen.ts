import type { AnyElysia } from 'elysia'
import { errnoOf, SetupError } from './errors.ts'

/** Where a service listens; `variable` is the one that sets its port */
export type Place = { readonly port: number; readonly hostname: string; readonly variable: string }

/** Has a service listen, and resolves with its URL. Throws a {@link SetupError} where the port is taken */
export const listen = (app: AnyElysia, { port, hostname, variable }: Place): string => {
  try {
    // never two on one port; an error's page is not for callers
    app.listen({ port, hostname, reusePort: false, development: false })
  } catch (error) {
    if (errnoOf(error) !== 'EADDRINUSE') throw error
    throw new SetupError(`Cannot listen on ${hostname}:${port}: another program does. Stop it, or set ${variable} to another port`)
  }
  return app.server?.url.origin ?? ''
}
