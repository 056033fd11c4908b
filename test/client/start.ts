import { mkdtempSync, rmdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { CATALOG_FILE, type Catalog } from '../../init/contract.ts'
import { hideImage, showImage } from '../../jail/image.ts'

/** Of `@librechat/agents` 3.9 */
const NODE_MAJOR = 24

export type ToolCall = { readonly name: 'execute_code' | 'bash_tool'; readonly args: Readonly<Record<string, unknown>> }
export type FileRef = { readonly id: string; readonly storage_session_id: string; readonly name: string; readonly inherited?: boolean }
export type ToolResult = {
  /** What the model reads */
  readonly content: string
  readonly status: 'success' | 'error'
  /** What goes to LibreChat beside it */
  readonly artifact: { readonly session_id?: string; readonly files: readonly FileRef[]; readonly deleted_files: readonly string[] }
}
export type Turn = {
  readonly results: readonly ToolResult[]
  /** The conversation's files afterwards, as the client will send them next */
  readonly files: readonly FileRef[]
}

/** `@librechat/agents` on Node, in a process of its own, with `url` as LIBRECHAT_CODE_BASEURL */
export const startClient = async (url: string) => {
  await using undo = new AsyncDisposableStack()
  await install()
  const child = Bun.spawn([await findNode(undo), join(import.meta.dir, 'drive.mjs')], {
    env: { PATH: Bun.env.PATH ?? '', LIBRECHAT_CODE_BASEURL: `${url}/v1` },
    stdin: 'pipe',
    stdout: 'pipe',
    stderr: 'pipe',
  })
  undo.defer(async () => {
    child.kill()
    await child.exited
  })

  const waiting = new Map<number, PromiseWithResolvers<unknown>>()
  const ready = Promise.withResolvers<string>()
  void (async () => {
    for await (const line of createInterface({ input: Readable.from(child.stdout) })) {
      const answer = JSON.parse(line)
      if (answer.ready) ready.resolve(answer.ready)
      else if ('error' in answer) waiting.get(answer.number)?.reject(new Error(answer.error))
      else waiting.get(answer.number)?.resolve(answer.value)
    }
    const said = new Error(`The client ended: ${await new Response(child.stderr).text()}`)
    for (const { reject } of [ready, ...waiting.values()]) reject(said)
  })()

  let count = 0
  const order = <Answer>(name: string, given: Record<string, unknown>): Promise<Answer> => {
    const number = ++count
    const answer = Promise.withResolvers<unknown>()
    waiting.set(number, answer)
    child.stdin.write(`${JSON.stringify({ number, order: name, ...given })}\n`)
    child.stdin.flush()
    return answer.promise.finally(() => waiting.delete(number)) as Promise<Answer>
  }
  const nodeVersion = await ready.promise
  const owned = undo.move()
  return {
    nodeVersion,
    /** The file as LibreChat remembers it from then on */
    async upload(name: string, content: Uint8Array | string, fields: Record<string, string> = { kind: 'user', id: 'local-test-user' }) {
      const answer = await order<Uploaded>('upload', { name, base64: Buffer.from(content).toString('base64'), fields })
      if (answer.message !== 'success') throw new Error(`Cannot upload ${name}: ${JSON.stringify(answer)}`)
      const [file] = answer.files
      return {
        id: file.fileId,
        storage_session_id: answer.storage_session_id,
        name: file.filename,
        kind: fields.kind,
        resource_id: fields.id,
        ...(fields.version && { version: Number(fields.version) }),
      }
    },
    async download(file: FileRef) {
      const { base64, ...head } = await order<Downloaded>('download', {
        session: file.storage_session_id,
        file: file.id,
        user: 'local-test-user',
      })
      return { bytes: Buffer.from(base64, 'base64'), ...head }
    },
    /** A conversation that begins with these files, each as LibreChat remembers it from its upload */
    conversation: async (...files: readonly FileRef[]) => {
      const conversation = `conversation-${++count}`
      if (files.length > 0) await order('prime', { conversation, session: files[0]?.storage_session_id, files })
      const turn = async (...calls: readonly ToolCall[]): Promise<Turn> => {
        const { results, files: after } = await order<Turn>('turn', { conversation, calls })
        return { results: results.map((result) => ({ ...result, artifact: { ...NO_FILES, ...result.artifact } })), files: after }
      }
      const only = async (call: ToolCall): Promise<ToolResult & Pick<Turn, 'files'>> => {
        const { results, files: after } = await turn(call)
        return { ...(results[0] as ToolResult), files: after }
      }
      return {
        turn,
        execute: (lang: string, code: string, more: Record<string, unknown> = {}) =>
          only({ name: 'execute_code', args: { lang, code, ...more } }),
        bash: (command: string, more: Record<string, unknown> = {}) => only({ name: 'bash_tool', args: { command, ...more } }),
      }
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}
type Uploaded = { message: string; storage_session_id: string; files: [{ fileId: string; filename: string }] }
type Downloaded = { base64: string; type: string; disposition: string }
/** The client leaves out what is empty */
const NO_FILES = { files: [], deleted_files: [] }
export type Client = Awaited<ReturnType<typeof startClient>>

/** Apart from our own dependencies, since nothing but this test needs its 340 MB; no script of it runs. Takes no time where it is there already */
const install = async (): Promise<void> => {
  const child = Bun.spawn([process.execPath, 'install', '--frozen-lockfile', '--ignore-scripts', '--no-progress'], {
    cwd: import.meta.dir,
    stdin: 'ignore',
    stdout: 'ignore',
    stderr: 'pipe',
  })
  const said = await new Response(child.stderr).text()
  if ((await child.exited) !== 0) throw new Error(`Cannot install the client: ${said}`)
}

/** The machine's Node if it is new enough, else the one that our jails have */
const findNode = async (undo: AsyncDisposableStack): Promise<string> => {
  const installed = Bun.which('node')
  if (installed) {
    const { stdout } = Bun.spawnSync([installed, '--version'])
    if (Number(/^v(\d+)/.exec(stdout.toString())?.[1]) >= NODE_MAJOR) return installed
  }
  const volume = Bun.env.CODEAPI_TEST_PACKAGES ?? ''
  const catalog = (await Bun.file(join(volume, CATALOG_FILE)).json()) as Catalog
  const node = catalog.packages.find(({ name }) => name === 'node')
  if (!node) throw new Error(`Cannot start the client: no package "node" in ${volume}`)
  const at = mkdtempSync(join(tmpdir(), 'codeapi-node-'))
  undo.defer(() => rmdirSync(at))
  await showImage(join(volume, node.artifact), at)
  undo.defer(() => hideImage(at))
  return join(at, 'bin/node')
}
