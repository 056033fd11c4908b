import { mkdirSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { hideImage, showImage } from './image.ts'

/** An image and where it lies in the root: the first at `/`, the others at directories that are there by then */
export type RootPart = { readonly image: string; readonly mountPoint: string }

/** Composes images into a root for jails. Disposing of it takes it apart; a jail that still runs keeps its own view */
export const composeRoot = async (parts: readonly RootPart[], root: string): Promise<Disposable> => {
  using undo = new DisposableStack()
  mkdirSync(root, { recursive: true, mode: 0o755 })
  undo.defer(() => rmdirSync(root))
  for (const { image, mountPoint } of parts) {
    const at = join(root, mountPoint)
    await showImage(image, at)
    undo.defer(() => hideImage(at))
  }
  return undo.move()
}
