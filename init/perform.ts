import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { discard } from './disk.ts'
import { isDiskFull } from './explain.ts'
import { makeImage, unpackImage } from './image.ts'
import { IMAGE_STEP, type Job, type PlannedStep } from './plan.ts'
import type { Workshop } from './recipe.ts'
import type { Volume } from './volume.ts'

type Perform = (step: PlannedStep, note: Workshop['note'], signal: AbortSignal) => Promise<void>

/** Performs steps of these jobs, and marks each that is done, so that no later run does it again */
export const performer = (volume: Volume, jobs: readonly Job[]): Perform => {
  const jobOf = (name: string): Job => {
    const job = jobs.find(({ recipe }) => recipe.name === name)
    if (!job) throw new Error(`No recipe makes ${name}`)
    return job
  }
  const treeOf = treesOf(volume, jobOf)

  return async ({ package: name, step }, note, signal) => {
    const { recipe, key } = jobOf(name)
    const scratch = volume.scratchOf(name, key)
    const at: Workshop = {
      scratch,
      tree: join(scratch, TREE),
      treeOf: (other) => treeOf(other, signal),
      signal,
      note,
      log: join(volume.logs, `${name}.log`),
    }
    await mkdir(scratch, { recursive: true })
    try {
      if (step === IMAGE_STEP) {
        const image = join(scratch, 'image.tmp')
        await makeImage(at.tree, image, key, at)
        await volume.addBuilt(key, image, { name, ...(await recipe.describe(at)) })
      } else {
        await recipe.steps.find((each) => each.name === step)?.run(at)
        await volume.markStep(name, key, step)
      }
    } catch (error) {
      // or the next run would find the disk as full as this one left it
      if (isDiskFull(error)) await discard(scratch)
      throw error
    }
  }
}

const TREE = 'tree'

/** Where a package's tree is: in its scratch while this run makes it, else unpacked from the artifact, once */
const treesOf = (volume: Volume, jobOf: (name: string) => Job) => {
  const unpacking = new Map<string, Promise<string>>()
  return (name: string, signal: AbortSignal): Promise<string> => {
    const { key, done } = jobOf(name)
    const scratch = volume.scratchOf(name, key)
    if (!done) return Promise.resolve(join(scratch, TREE))
    const running =
      unpacking.get(name) ?? unpack(join(volume.root, done.artifact), join(scratch, 'unpacked'), join(volume.logs, `${name}.log`), signal)
    unpacking.set(name, running)
    return running
  }
}

const unpack = async (image: string, into: string, log: string, signal: AbortSignal): Promise<string> => {
  await discard(into)
  await mkdir(into, { recursive: true })
  await unpackImage(image, into, { log, signal })
  return into
}
