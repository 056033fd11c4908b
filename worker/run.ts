import { createHash } from 'node:crypto'
import { Value } from '@sinclair/typebox/value'
import type { CryptoKey } from 'jose'
import { AppError } from '../errors.ts'
import { orderFiles } from '../files/client.ts'
import type { Jail } from '../jail/jail.ts'
import { verifyOrder, type WorkOrder } from '../order.ts'
import { pathProblem } from '../paths.ts'
import type { Ran } from './consumer.ts'
import { type Job, JobBody } from './contract.ts'
import { deliverOutputs } from './deliver.ts'
import { commandFor } from './languages.ts'
import { skippedLine } from './outputs.ts'
import type { Packages } from './packages.ts'
import { tell } from './report.ts'
import { placeInputs, placeProgram, roomFor } from './workspace.ts'

export type RunDeps = {
  readonly jail: Jail
  readonly packages: Packages
  readonly orderKey: CryptoKey
  readonly filesUrl: string
}

/**
 * The story of a run: order → cell → inputs → program → outputs → result.
 * A run that ends badly is a result. Throws an {@link AppError} where the service failed or the order forbids it.
 */
export const runJob = async ({ jail, packages, orderKey, filesUrl }: RunDeps, job: Job, signal: AbortSignal): Promise<Ran> => {
  const { order, body } = await accept(orderKey, job)
  const files = orderFiles({ url: filesUrl, order: job.order })
  await using undo = new AsyncDisposableStack()
  const runtime = undo.use(packages.acquire())
  const command = commandFor(body.language, runtime.packages, body.args, new Set(body.inputs.map(({ path }) => path)))
  if ('missing' in command) throw runtime.missing(command.missing)

  const cell = undo.use(await jail.open(runtime.root, order.limits))
  cell.makeRoom(roomFor([Buffer.byteLength(body.code), ...body.inputs.map(({ size }) => size)]))
  await placeInputs(cell, body.inputs, files, signal)
  placeProgram(cell, command.entry, body.code)
  const outcome = await cell.run({ argv: command.argv, env: command.env, limits: order.limits, signal })
  signal.throwIfAborted()
  const { skipped, ...delivered } = await deliverOutputs(cell, body.inputs, { path: command.entry, code: body.code }, order, files, signal)
  const result = {
    status: outcome.status,
    exitCode: outcome.exitCode,
    signal: outcome.signal,
    stdout: outcome.stdout.text,
    wallMs: outcome.wallMs,
    cpuMs: outcome.cpuMs,
    memoryBytes: outcome.memoryBytes,
    ...tell(outcome, order.limits, [skippedLine(skipped)]),
    ...delivered,
  }
  const owned = undo.move()
  return { result, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

/** What the order allows, and what is asked; the two must belong together */
const accept = async (orderKey: CryptoKey, job: Job): Promise<{ order: WorkOrder; body: JobBody }> => {
  const order = await verifyOrder(orderKey, job.order)
  const refuse = (why: string) => new AppError(401, 'invalid_order', `Cannot accept the work order: ${why}`)
  if (order.jti !== job.id) throw refuse('it is for another job')
  if (createHash('sha256').update(job.body).digest('hex') !== order.body) throw refuse('the body is not the one that was signed')
  const body = parse(job.body)
  if (!Value.Check(JobBody, body)) throw refuse('the body has another shape')
  // it is written to as root
  if (body.inputs.some(({ path }) => pathProblem(path) !== null)) throw refuse('an input lies outside of the workspace')
  const mayRead = new Set(order.reads.map(({ session, file }) => `${session}/${file}`))
  if (!body.inputs.every(({ session, id }) => mayRead.has(`${session}/${id}`))) throw refuse('it does not allow an input')
  return { order, body }
}

/** `undefined`, which has no shape, for what is not JSON */
const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
