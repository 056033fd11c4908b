import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { exportPKCS8, exportSPKI, generateKeyPair } from 'jose'

export type Secrets = { readonly orderPrivateKey: string; readonly orderPublicKey: string; readonly internalToken: string }

const FILE = 'secrets.json'
const TOKEN_BYTES = 32

/** The secrets of one machine's services, made on the first start and kept readable by their owner alone */
export const openSecrets = async (directory: string): Promise<Secrets> => {
  const path = join(directory, FILE)
  if (!existsSync(path)) {
    mkdirSync(directory, { recursive: true })
    writeFileSync(`${path}.tmp`, JSON.stringify(await makeSecrets()), { mode: 0o600 })
    renameSync(`${path}.tmp`, path)
  }
  return JSON.parse(readFileSync(path, 'utf8'))
}

const makeSecrets = async (): Promise<Secrets> => {
  const { privateKey, publicKey } = await generateKeyPair('EdDSA', { extractable: true })
  return {
    orderPrivateKey: await exportPKCS8(privateKey),
    orderPublicKey: await exportSPKI(publicKey),
    internalToken: Buffer.from(crypto.getRandomValues(new Uint8Array(TOKEN_BYTES))).toString('base64url'),
  }
}
