import { describe, expect, test } from 'bun:test'
import { idOf, type PlannedStep } from './plan.ts'
import { inOrder } from './schedule.ts'

const step = (id: string, ...needs: string[]): PlannedStep => {
  const [name = '', part = ''] = id.split('/')
  return { package: name, step: part, title: part, needs }
}
const never = new AbortController().signal

describe('inOrder()', () => {
  test('starts a step only when those it needs are done, and the others beside it', async () => {
    const events: string[] = []
    const steps = [step('a/1'), step('a/2', 'a/1'), step('b/1'), step('c/1', 'a/2', 'b/1')]
    await inOrder(
      steps,
      2,
      async (each) => {
        events.push(`+${idOf(each)}`)
        await Bun.sleep(idOf(each) === 'b/1' ? 30 : 5)
        events.push(`-${idOf(each)}`)
      },
      never,
    )
    expect(events).toEqual(['+a/1', '+b/1', '-a/1', '+a/2', '-a/2', '-b/1', '+c/1', '-c/1'])
  })

  test('never runs more than its width', async () => {
    let running = 0
    let most = 0
    await inOrder(
      ['a/1', 'b/1', 'c/1', 'd/1'].map((id) => step(id)),
      2,
      async () => {
        most = Math.max(most, ++running)
        await Bun.sleep(1)
        running--
      },
      never,
    )
    expect(most).toBe(2)
  })

  test('throws the first failure, after the steps beside it were told to stop and have ended', async () => {
    const ended: string[] = []
    const failing = inOrder(
      [step('a/1'), step('b/1'), step('c/1', 'a/1')],
      2,
      async (each, signal) => {
        if (idOf(each) === 'a/1') throw new Error('a broke')
        await new Promise((resolve) => signal.addEventListener('abort', resolve))
        ended.push(idOf(each))
      },
      never,
    )
    await expect(failing).rejects.toThrow('a broke')
    expect(ended).toEqual(['b/1'])
  })

  test('stops when it is told to', async () => {
    const stop = new AbortController()
    const stopped = inOrder([step('a/1'), step('a/2', 'a/1')], 1, async () => stop.abort(new Error('enough')), stop.signal)
    await expect(stopped).rejects.toThrow('enough')
  })

  test('does not wait for ever for steps that wait for each other', async () => {
    await expect(inOrder([step('a/1', 'b/1'), step('b/1', 'a/1')], 2, async () => {}, never)).rejects.toThrow('wait for each other')
  })
})
