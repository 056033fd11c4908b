import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { exec, jailsMissing, reference, type Services, startServices, upload } from './services.ts'

const PROGRAMS = join(import.meta.dir, 'programs')
/** Two cores: more at a time only wait for each other */
const WIDTH = 3

type Program = {
  readonly name: string
  readonly lang: string
  readonly code: string
  readonly args: readonly string[]
  readonly files: readonly { name: string; content: string }[]
  readonly stdout: string
  readonly stderr: string
}

/**
 * The programs of a Markdown file: under each `##` heading one block in the program's language, a `text` block with what it must print, and where it
 * needs them `file <name>` blocks with its inputs, a `stderr` block, and an `args` block: it runs once for each line of that. The prose is for people.
 */
const programsOf = (markdown: string): Program[] =>
  markdown
    .split(/^## /m)
    .slice(1)
    .flatMap((section) => {
      const name = section.slice(0, section.indexOf('\n'))
      const blocks = [...section.matchAll(/^```(\w+) ?(.*)\n([\s\S]*?)^```$/gm)].map(([, kind = '', of = '', text = '']) => ({
        kind,
        of,
        text,
      }))
      const textOf = (wanted: string) => blocks.find(({ kind }) => kind === wanted)?.text
      const program = blocks.find(({ kind }) => !['text', 'stderr', 'file', 'args'].includes(kind))
      const stdout = textOf('text')
      if (!program || stdout === undefined) throw new Error(`Cannot read "${name}": it needs a program and a block of what it prints`)
      const files = blocks.filter(({ kind }) => kind === 'file').map(({ of, text }) => ({ name: of, content: text }))
      const only = { lang: program.kind, code: program.text, files, stdout, stderr: textOf('stderr') ?? '' }
      const runs = textOf('args')?.trim().split('\n') ?? ['']
      return runs.map((line) => ({ ...only, name: `${name} ${line}`.trim(), args: line ? line.split(' ') : [] }))
    })

describe.skipIf(jailsMissing() !== null)('in a jail', () => {
  let services: Services
  beforeAll(async () => {
    services = await startServices()
  })
  afterAll(() => services[Symbol.asyncDispose]())

  for (const file of readdirSync(PROGRAMS).sort()) {
    describe(file, () => {
      test.concurrent.each(programsOf(readFileSync(join(PROGRAMS, file), 'utf8')).map((program) => [program.name, program] as const))(
        '%s',
        async (_name, { lang, code, args, files, stdout, stderr }) => {
          using _ = await turn()
          const sent = files.length > 0 ? (await upload(services.url, files)).body : null
          const refs = sent?.files.map((file: { fileId: string; filename: string }) => reference(file, sent.storage_session_id))
          const { body } = await exec(services.url, { lang, code, args, ...(refs && { files: refs }) })
          expect({ stdout: body.stdout, stderr: body.stderr, code: body.code }).toEqual({ stdout, stderr, code: 0 })
        },
      )
    })
  }
})

let running = 0
const waiting: (() => void)[] = []
/** One of the {@link WIDTH} places, until the end of the block */
const turn = async (): Promise<Disposable> => {
  if (running >= WIDTH) await new Promise<void>((resolve) => waiting.push(resolve))
  running++
  return {
    [Symbol.dispose]: () => {
      running--
      waiting.shift()?.()
    },
  }
}
