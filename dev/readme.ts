import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TObject, TSchema } from '@sinclair/typebox'
import { ApiConfig } from '../api/config.ts'
import { FilesConfig } from '../files/config.ts'
import { InitConfig } from '../init/config.ts'
import { ToolcallConfig } from '../toolcall/config.ts'
import { WorkerConfig } from '../worker/config.ts'

const SERVICES: Readonly<Record<string, TObject>> = {
  api: ApiConfig,
  worker: WorkerConfig,
  files: FilesConfig,
  toolcall: ToolcallConfig,
  init: InitConfig,
}
const README = join(import.meta.dir, '../README.md')
const BEGIN = '<!-- configuration: written by `bun dev/readme.ts` -->'
const END = '<!-- /configuration -->'

type Variable = { readonly schema: TSchema; readonly services: string[] }

/** The table of environment variables, from the schemas that read them */
const configurationTable = (): string => {
  const variables = new Map<string, Variable>()
  for (const [service, { properties }] of Object.entries(SERVICES)) {
    for (const [name, schema] of Object.entries(properties)) {
      const known = variables.get(name)
      if (known) known.services.push(service)
      else variables.set(name, { schema, services: [service] })
    }
  }
  const rows = [...variables].map(([name, { schema, services }]) => {
    const fallback = schema.default === undefined ? '' : `\`${String(schema.default)}\``
    return `| \`${name}\` | ${services.join(', ')} | ${fallback} | ${schema.description ?? ''} |`
  })
  return ['| Variable | Read by | Default | Meaning |', '| --- | --- | --- | --- |', ...rows].join('\n')
}

/** The README with a fresh table */
export const freshReadme = (): string => {
  const text = readFileSync(README, 'utf8')
  const [before, rest] = text.split(BEGIN)
  const after = rest?.split(END)[1]
  if (before === undefined || after === undefined) throw new Error(`Cannot find ${BEGIN} … ${END} in README.md`)
  return `${before}${BEGIN}\n\n${configurationTable()}\n\n${END}${after}`
}

if (import.meta.main) writeFileSync(README, freshReadme())
