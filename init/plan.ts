import type { Catalog, Package, Profile } from './contract.ts'
import type { Recipe } from './recipe.ts'

export const IMAGE_STEP = 'image'
const FORMAT = 'packages-1'

/** The package's identity before it is built: equal keys, equal package */
export const keyOf = (recipe: Pick<Recipe, 'name' | 'inputs'>, architecture: string): string => {
  const hash = new Bun.CryptoHasher('sha256')
  // as JSON, so that no two lists of inputs read the same
  hash.update(JSON.stringify([FORMAT, architecture, recipe.name, ...recipe.inputs]))
  return hash.digest('hex').slice(0, 16)
}

/** A recipe, and how far the volume is with it */
export type Job = {
  recipe: Recipe
  key: string
  /** The finished package, if its artifact is there too */
  done: Package | null
  /** Steps that an interrupted build has done */
  steps: ReadonlySet<string>
}

export type PlannedStep = { package: string; step: string; title: string; needs: readonly string[] }

/** The steps that are left, in an order that works one after the other. A step waits for what it needs only if that is left too */
export const planSteps = (jobs: readonly Pick<Job, 'recipe' | 'done' | 'steps'>[]): PlannedStep[] => {
  const left: PlannedStep[] = []
  for (const { recipe, done, steps } of jobs) {
    if (done) continue
    let previous: string | null = null
    const image = { name: IMAGE_STEP, title: 'making the image', needs: [] as readonly string[] }
    for (const { name, title, needs = [] } of [...recipe.steps, image]) {
      if (steps.has(name)) continue
      left.push({ package: recipe.name, step: name, title, needs: previous ? [...needs, previous] : needs })
      previous = `${recipe.name}/${name}`
    }
  }
  const leftIds = new Set(left.map(idOf))
  return left.map((step) => ({ ...step, needs: step.needs.filter((id) => leftIds.has(id)) }))
}

export const idOf = (step: Pick<PlannedStep, 'package' | 'step'>): string => `${step.package}/${step.step}`

/** Serves exactly these packages already, so that nothing need be written */
export const sameCatalog = (catalog: Catalog | null, profile: Profile, packages: readonly Package[]): boolean =>
  catalog !== null && catalog.profile === profile && Bun.deepEquals(catalog.packages, packages)
