import type { Kind } from './contract.ts'

/** Who asks. Every mode of authentication yields the same structure (spec/http-api.md §2.2) */
export type Principal = { readonly tenant: string; readonly user: string }

/** Local mode: everybody is this one, and no header is looked at (§2.4) */
export const localPrincipal: Principal = { tenant: 'local', user: 'local-test-user' }

/** Names an owner of sessions: a kind, and for the shared kinds the resource's id and, for skills, its version */
export type Resource = { readonly kind: Kind; readonly id: string; readonly version: number | null }

/**
 * The session key: who owns a session, and may read it (§3.2). Parts are percent-encoded, so that no id can imitate another's key;
 * a `user` is always the caller, whatever id was sent.
 */
export const sessionKey = ({ tenant, user }: Principal, { kind, id, version }: Resource): string => {
  const parts = kind === 'user' ? [tenant, kind, user] : version === null ? [tenant, kind, id] : [tenant, kind, id, 'v', String(version)]
  return parts.map(encodeURIComponent).join(':')
}

export const userKey = (principal: Principal): string => sessionKey(principal, { kind: 'user', id: '', version: null })
