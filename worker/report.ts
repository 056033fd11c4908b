import type { Limits } from '../jail/limits.ts'
import type { Outcome } from '../jail/outcome.ts'

/** What a model is told: `stderr` is all that it reads (spec/http-api.md §5.2) */
export type Told = { readonly message: string | null; readonly stderr: string }

/** The limit that ended or cut a run, in the client's own words where it knows them */
const limitMessage = (outcome: Outcome, { outputChars }: Pick<Limits, 'outputChars'>): string | null => {
  switch (outcome.status) {
    case 'timed-out':
      return 'Time limit exceeded'
    case 'cpu-exhausted':
      return 'CPU time limit exceeded'
    case 'out-of-memory':
      return 'Out of memory'
    case 'output-limit':
      return outcome.stdout.truncated ? 'stdout length exceeded' : 'stderr length exceeded'
    default:
      return outcome.stderr.truncated ? `stderr truncated at ${outputChars} bytes` : null
  }
}

/** stderr as the caller gets it: the program's own, then our lines */
export const tell = (outcome: Outcome, limits: Pick<Limits, 'outputChars'>, notes: readonly (string | null)[]): Told => {
  const message = limitMessage(outcome, limits)
  const lines = [message, ...notes].filter((line) => line !== null)
  if (outcome.oomKills > 0 && outcome.status !== 'out-of-memory') lines.push('a process was killed for want of memory')
  // a shell that fails in silence would look like one that had nothing to say
  if (outcome.exitCode !== 0 && outcome.stderr.text === '' && lines.length === 0) {
    lines.push(outcome.signal ? `killed by ${outcome.signal}` : `exited with code ${outcome.exitCode}`)
  }
  const told = lines.map((line) => `\n[sandbox] ${line}\n`)
  return { message, stderr: outcome.stderr.text + told.join('') }
}
