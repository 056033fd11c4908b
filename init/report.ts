import { messageOf } from '../errors.ts'
import type { Profile, Progress } from './contract.ts'
import type { PlannedStep } from './plan.ts'
import type { Say } from './tools.ts'
import type { Volume } from './volume.ts'

const HEARTBEAT_MS = 5_000

/** Tells people on stdout, and programs in `progress.json`, how far a build is */
export const startReport = async (volume: Volume, profile: Profile, total: number, say: Say) => {
  const startedAt = new Date().toISOString()
  const running = new Map<PlannedStep, { since: number; note: string }>()
  let done = 0
  let writing = Promise.resolve()

  const write = (state: Progress['state'], error?: string): Promise<void> => {
    const step = [...running.keys()].map(nameOf).join(', ')
    const progress: Progress = {
      profile,
      state,
      step,
      done,
      total,
      startedAt,
      updatedAt: new Date().toISOString(),
      ...(error ? { error } : {}),
    }
    // one after the other, so that an older state never replaces a newer one
    const written = writing.then(() => volume.writeProgress(progress))
    writing = written.catch(() => {}) // told to whoever awaits this one; the next is tried all the same
    return written
  }

  const heartbeat = setInterval(() => {
    for (const [step, { since, note }] of running) say(`        ${nameOf(step)} … ${secondsSince(since)}${note ? `, ${note}` : ''}`)
    write('building').catch((error) => say(`packages: cannot write the progress: ${messageOf(error)}`))
  }, HEARTBEAT_MS)

  await write('building')
  return {
    async begin(step: PlannedStep) {
      running.set(step, { since: performance.now(), note: '' })
      await write('building')
    },
    note(step: PlannedStep, text: string) {
      const state = running.get(step)
      if (state) state.note = text
    },
    async end(step: PlannedStep) {
      const state = running.get(step)
      running.delete(step)
      done++
      say(`[${String(done).padStart(2)}/${total}] ${nameOf(step)}: ${secondsSince(state?.since ?? performance.now())}`)
      await write('building')
    },
    async finish(error?: string) {
      clearInterval(heartbeat)
      if (!error) running.clear()
      await write(error ? 'failed' : 'complete', error)
    },
  }
}

const nameOf = (step: PlannedStep): string => `${step.package}: ${step.title}`
const secondsSince = (since: number): string => `${((performance.now() - since) / 1_000).toFixed(1)} s`
