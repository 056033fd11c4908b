import { mkdirSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { hideImage, showImage } from './image.ts'

/** An image and where it lies in the root: the first at `/`, the others at directories that are there by then */
export type RootPart = { readonly image: string; readonly mountPoint: string }

export type Root = Disposable & { readonly path: string }

/** Composes images into a root for jails. Disposing of it takes it apart; a jail that still runs keeps its own view */
export const composeRoot = async (parts: readonly RootPart[], path: string): Promise<Root> => {
  using undo = new DisposableStack()
  mkdirSync(path, { recursive: true, mode: 0o755 })
  undo.defer(() => rmdirSync(path))
  for (const { image, mountPoint } of parts) {
    const at = join(path, mountPoint)
    await showImage(image, at)
    undo.defer(() => hideImage(at))
  }
  const owned = undo.move()
  return { path, [Symbol.dispose]: () => owned.dispose() }
}
