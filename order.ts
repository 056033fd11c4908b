import { type Static, Type as t } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { type CryptoKey, importPKCS8, importSPKI, jwtVerify, SignJWT } from 'jose'
import { AppError } from './errors.ts'
import { Id } from './ids.ts'
import { Limits } from './jail/limits.ts'

const ALGORITHM = 'EdDSA'
const ISSUER = 'codeapi'
/** Clocks of two machines may differ by this much, in `s` */
const CLOCK_TOLERANCE_S = 30

/**
 * The only authority a worker has for one job: signed by api (JWS, RFC 7515; Ed25519, RFC 8037), verified by worker, files and toolcall.
 * Whoever holds it may do what it lists until `exp`, and nothing else.
 */
export const WorkOrder = t.Object({
  /** The job's id; an order starts one run */
  jti: Id,
  /** SHA-256 of the job's body, hexadecimal */
  body: t.String({ pattern: '^[0-9a-f]{64}$' }),
  /** Files that may be read */
  reads: t.Array(t.Object({ session: Id, file: Id })),
  /** The session that outputs go to, whose it is, and how much it may take */
  write: t.Object({ session: Id, owner: t.String(), maxFiles: t.Integer(), maxFileBytes: t.Integer() }),
  limits: Limits,
  /** Seconds since 1970 */
  exp: t.Integer(),
})
export type WorkOrder = Static<typeof WorkOrder>

export const importSigningKey = (pem: string): Promise<CryptoKey> => importPKCS8(pem.replaceAll('\\n', '\n'), ALGORITHM)
export const importVerifyingKey = (pem: string): Promise<CryptoKey> => importSPKI(pem.replaceAll('\\n', '\n'), ALGORITHM)

export const signOrder = (key: CryptoKey, order: WorkOrder): Promise<string> =>
  new SignJWT({ ...order }).setProtectedHeader({ alg: ALGORITHM }).setIssuer(ISSUER).setIssuedAt().sign(key)

/** The order in a token. Throws a 401 {@link AppError} for one that is forged, altered or expired */
export const verifyOrder = async (key: CryptoKey, token: string): Promise<WorkOrder> => {
  const { payload } = await jwtVerify(token, key, { algorithms: [ALGORITHM], issuer: ISSUER, clockTolerance: CLOCK_TOLERANCE_S }).catch(
    (cause) => {
      throw new AppError(401, 'invalid_order', 'Cannot accept the work order: it is forged, altered or expired', { cause })
    },
  )
  if (!Value.Check(WorkOrder, payload)) throw new AppError(401, 'invalid_order', 'Cannot accept the work order: its claims are incomplete')
  return payload
}
