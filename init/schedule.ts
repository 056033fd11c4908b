import { idOf, type PlannedStep } from './plan.ts'

/**
 * Performs the steps, each once those it needs are done, at most `width` at a time, earlier ones first.
 * The first failure stops the others and is thrown when all have ended.
 */
export const inOrder = async (
  steps: readonly PlannedStep[],
  width: number,
  perform: (step: PlannedStep, signal: AbortSignal) => Promise<void>,
  signal: AbortSignal,
): Promise<void> => {
  const stop = new AbortController()
  const all = AbortSignal.any([signal, stop.signal])
  const waiting = [...steps]
  const done = new Set<string>()
  const running = new Set<Promise<void>>()
  const failures: unknown[] = []

  while (waiting.length > 0 || running.size > 0) {
    const next = all.aborted || running.size >= width ? -1 : waiting.findIndex((step) => step.needs.every((id) => done.has(id)))
    const [step] = next < 0 ? [] : waiting.splice(next, 1)
    if (step) {
      const work: Promise<void> = perform(step, all)
        .then(
          () => void done.add(idOf(step)),
          (error) => {
            failures.push(error)
            stop.abort(error)
          },
        )
        .finally(() => running.delete(work))
      running.add(work)
    } else if (running.size > 0) {
      await Promise.race(running)
    } else if (all.aborted) {
      break
    } else {
      throw new Error(`Steps wait for each other: ${waiting.map(idOf).join(', ')}`)
    }
  }
  if (failures.length > 0) throw failures[0]
  signal.throwIfAborted()
}
