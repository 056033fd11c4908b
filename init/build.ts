import { availableParallelism } from 'node:os'
import { messageOf } from '../errors.ts'
import type { Catalog, Profile } from './contract.ts'
import { explain } from './explain.ts'
import { holdLock } from './lock.ts'
import { performer } from './perform.ts'
import { type Job, keyOf, planSteps, sameCatalog } from './plan.ts'
import type { Recipe } from './recipe.ts'
import { startReport } from './report.ts'
import { inOrder } from './schedule.ts'
import { architecture, type Say } from './tools.ts'
import type { Volume } from './volume.ts'

export type Build = { volume: Volume; profile: Profile; recipes: readonly Recipe[]; say: Say; signal: AbortSignal }

/** The catalog, if it serves exactly these recipes already */
export const findCurrent = async ({ volume, profile, recipes }: Pick<Build, 'volume' | 'profile' | 'recipes'>): Promise<Catalog | null> => {
  const [catalog, packages] = await Promise.all([volume.readCatalog(), findPackages(volume, recipes)])
  return packages && sameCatalog(catalog, profile, packages) ? catalog : null
}

/** Builds what is missing of a profile and switches the catalog to it. Killed at any point, the next run goes on where this one was */
export const build = async (order: Build): Promise<Catalog> => {
  const { volume, profile, recipes, say, signal } = order
  using _ = await holdLock(volume.lock, () => say('packages: waiting for another init that builds on this volume'), signal)
  const current = await findCurrent(order)
  if (current) return current

  const jobs = await Promise.all(recipes.map((recipe) => findJob(volume, recipe)))
  await volume.dropScratch(jobs.map(({ recipe, key }) => volume.scratchOf(recipe.name, key)))
  const done = jobs.filter((job) => job.done).map(({ recipe }) => recipe.name)
  if (done.length > 0) say(`packages: there already: ${done.join(', ')}`)

  const steps = planSteps(jobs)
  const perform = performer(volume, jobs)
  const report = await startReport(volume, profile, steps.length, say)
  try {
    await inOrder(
      steps,
      availableParallelism(),
      async (step, stop) => {
        await report.begin(step)
        await perform(step, (text) => report.note(step, text), stop)
        await report.end(step)
      },
      signal,
    )
    const catalog = await switchTo(order)
    await report.finish()
    return catalog
  } catch (cause) {
    const error = explain(cause, volume.root)
    // on a full disk even this may fail, and must not hide why
    await report.finish(messageOf(error)).catch((failure) => say(`packages: cannot write the progress: ${messageOf(failure)}`))
    throw error
  }
}

const findJob = async (volume: Volume, recipe: Recipe): Promise<Job> => {
  const key = keyOf(recipe, architecture())
  return { recipe, key, done: await volume.findBuilt(recipe.name, key), steps: await volume.stepsDone(recipe.name, key) }
}

/** Every package that the recipes make, or `null` when one is missing */
const findPackages = async (volume: Volume, recipes: readonly Recipe[]) => {
  const packages = await Promise.all(recipes.map((recipe) => volume.findBuilt(recipe.name, keyOf(recipe, architecture()))))
  return packages.every((entry) => entry !== null) ? packages : null
}

/** From here on readers see the new set; what only older ones than the last named goes */
const switchTo = async ({ volume, profile, recipes }: Build): Promise<Catalog> => {
  const packages = await findPackages(volume, recipes)
  if (!packages) throw new Error('A package that was built is not there')
  const previous = await volume.readCatalog()
  const catalog: Catalog = { formatVersion: 1, profile, createdAt: new Date().toISOString(), packages }
  await volume.writeCatalog(catalog)
  await volume.prune([previous, catalog])
  await volume.dropScratch([])
  return catalog
}
