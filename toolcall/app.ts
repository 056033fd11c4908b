import { Elysia } from 'elysia'

/** The Tool Call Server: its health, so far */
export const createToolcall = () =>
  new Elysia()
    .onError(({ status }) => status(404, { error: 'not_found', message: 'Cannot find that route' }))
    .get('/health', () => ({ ok: true }))
