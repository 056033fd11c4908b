import { mkdir } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { messageOf } from '../errors.ts'
import type { Catalog, Package, Profile } from './contract.ts'
import { discard } from './disk.ts'
import { explain, isDiskFull } from './explain.ts'
import { makeImage, unpackImage } from './image.ts'
import { holdLock } from './lock.ts'
import { type Found, IMAGE_STEP, keyOf, type PlannedStep, planSteps, sameCatalog } from './plan.ts'
import type { Recipe, Workshop } from './recipe.ts'
import { startReport } from './report.ts'
import { inOrder } from './schedule.ts'
import { architecture, type Say } from './tools.ts'
import type { Volume } from './volume.ts'

export type Build = { volume: Volume; profile: Profile; recipes: readonly Recipe[]; say: Say; signal: AbortSignal }

/** The catalog, if it serves exactly these recipes already */
export const findCurrent = async ({ volume, profile, recipes }: Pick<Build, 'volume' | 'profile' | 'recipes'>): Promise<Catalog | null> => {
  const [catalog, ...packages] = await Promise.all([
    volume.readCatalog(),
    ...recipes.map((recipe) => volume.findBuilt(recipe.name, keyOf(recipe, architecture()))),
  ])
  const built = packages.filter((entry) => entry !== null)
  return built.length === recipes.length && sameCatalog(catalog, profile, built) ? catalog : null
}

/** Builds what is missing of a profile and switches the catalog to it. Killed at any point, the next run goes on where this one was */
export const build = async (order: Build): Promise<Catalog> => {
  const { volume, profile, recipes, say, signal } = order
  using _ = await holdLock(volume.lock, () => say('packages: waiting for another init that builds on this volume'), signal)
  const current = await findCurrent(order)
  if (current) return current

  const keys = new Map(recipes.map((recipe) => [recipe.name, keyOf(recipe, architecture())]))
  const scratch = (name: string) => volume.scratchOf(name, keys.get(name) ?? '')
  await volume.dropScratch(new Set(recipes.map(({ name }) => scratch(name))))

  const found = new Map<string, Found>()
  for (const { name } of recipes) {
    const key = keys.get(name) ?? ''
    found.set(name, { done: await volume.findBuilt(name, key), steps: await volume.stepsDone(name, key) })
  }
  const steps = planSteps(recipes, (name) => found.get(name) ?? { done: null, steps: new Set() })
  const reused = recipes.filter(({ name }) => found.get(name)?.done).map(({ name }) => name)
  if (reused.length > 0) say(`packages: ${reused.join(', ')} ${reused.length > 1 ? 'are' : 'is'} there already`)

  const built = new Map<string, Package>()
  for (const [name, { done }] of found) if (done) built.set(name, done)

  const report = await startReport(volume, profile, steps.length, say)
  const workshopOf = (name: string, note: (text: string) => void, stop: AbortSignal): Workshop => ({
    scratch: scratch(name),
    tree: join(scratch(name), 'tree'),
    log: join(volume.logs, `${name}.log`),
    signal: stop,
    note,
    treeOf: async (other) => {
      const artifact = built.get(other)
      if (!artifact) return join(scratch(other), 'tree')
      return unpackOnce(join(volume.root, artifact.artifact), join(scratch(other), 'unpacked'), stop)
    },
  })
  const unpacked = new Map<string, Promise<string>>()
  const unpackOnce = (image: string, into: string, stop: AbortSignal): Promise<string> => {
    const running =
      unpacked.get(into) ??
      (async () => {
        await discard(into)
        await mkdir(into, { recursive: true })
        await unpackImage(image, into, { log: join(volume.logs, 'unpack.log'), signal: stop })
        return into
      })()
    unpacked.set(into, running)
    return running
  }

  const perform = async (step: PlannedStep, stop: AbortSignal): Promise<void> => {
    const recipe = recipes.find(({ name }) => name === step.package)
    const key = keys.get(step.package)
    if (!recipe || !key) throw new Error(`No recipe for ${step.package}`)
    const workshop = workshopOf(step.package, (text) => report.note(step, text), stop)
    await report.begin(step)
    await mkdir(workshop.scratch, { recursive: true })
    if (step.step === IMAGE_STEP) {
      const image = join(workshop.scratch, 'image.tmp')
      await makeImage(workshop.tree, image, key, { log: workshop.log, signal: stop })
      const description = await recipe.describe(workshop)
      await volume.addBuilt(key, image, { name: recipe.name, ...description })
    } else {
      await recipe.steps.find(({ name }) => name === step.step)?.run(workshop)
      await volume.markStep(step.package, key, step.step)
    }
    await report.end(step)
  }

  try {
    await inOrder(
      steps,
      availableParallelism(),
      (step, stop) =>
        perform(step, stop).catch(async (error) => {
          // or the next run would find the disk as full as this one left it
          if (isDiskFull(error)) await discard(scratch(step.package))
          throw error
        }),
      signal,
    )
    const packages = await Promise.all(recipes.map(({ name }) => volume.findBuilt(name, keys.get(name) ?? '')))
    const previous = await volume.readCatalog()
    const catalog: Catalog = {
      formatVersion: 1,
      profile,
      createdAt: new Date().toISOString(),
      packages: packages.filter((entry) => entry !== null),
    }
    await volume.writeCatalog(catalog)
    await report.finish()
    await volume.prune([previous, catalog])
    await volume.dropScratch(new Set())
    return catalog
  } catch (cause) {
    const error = explain(cause, volume.root)
    // on a full disk even this may fail, and must not hide why
    await report.finish(messageOf(error)).catch((failure) => say(`packages: cannot write the progress: ${messageOf(failure)}`))
    throw error
  }
}
