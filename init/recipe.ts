import type { Package } from './contract.ts'

/** What a step works with */
export type Workshop = {
  /** The package's own scratch directory; what an interrupted step left is still there */
  scratch: string
  /** Becomes the image */
  tree: string
  /** The finished tree of another package of this build, for one that needs it */
  treeOf: (name: string) => Promise<string>
  signal: AbortSignal
  /** How far the step is, for the line that a person sees every few seconds: `97 packages unpacked` */
  note: (text: string) => void
  log: string
}

export type Step = {
  name: string
  /** For people: `installing 146 libraries` */
  title: string
  /** Other packages' steps that must be done first, as `package/step` */
  needs?: readonly string[]
  run: (at: Workshop) => Promise<void>
}

/** How a package is built: its steps one after the other, then an image of `tree` */
export type Recipe = {
  name: string
  /** Everything that decides what comes out; hashed into the package's key, so a change of any builds it again and nothing else does */
  inputs: readonly string[]
  steps: readonly Step[]
  describe: (at: Pick<Workshop, 'tree' | 'scratch'>) => Promise<Description>
}

export type Description = Omit<Package, 'name' | 'digest' | 'size' | 'artifact'>
