import { t } from 'elysia'
import { Id } from '../ids.ts'

const error = 'Cannot use the id: it must be 21 characters of A-Z a-z 0-9 _ -'

/** Path parameters of one session, and of one file in it */
export const SessionPlace = t.Object({ session: t.String({ ...Id, error }) })
export const Place = t.Object({ session: t.String({ ...Id, error }), file: t.String({ ...Id, error }) })
