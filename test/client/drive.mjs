// What LibreChat does to us, done by its own library on Node: one JSON order per line of stdin, one JSON answer per line of stdout.
import { Agent } from 'node:http'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { createBashExecutionTool, createCodeExecutionTool, ToolNode } from '@librechat/agents'
import { AIMessage } from '@librechat/agents/langchain/messages'
import axios from 'axios'
import FormData from 'form-data'

const base = process.env.LIBRECHAT_CODE_BASEURL
/** LibreChat's backend opens a connection per call, and names its profile in plain deployments too */
const BACKEND = {
  headers: { 'User-Agent': 'LibreChat/1.0', 'X-CodeAPI-Expected-Profile': 'default' },
  httpAgent: new Agent({ keepAlive: false }),
}
const TOOLS = { user_id: 'user-1', executionProfile: 'default' }
/** A conversation's files, in the client's own bookkeeping */
const conversations = new Map()

const conversationOf = (name) => {
  const known = conversations.get(name)
  if (known) return known
  const sessions = new Map()
  const tools = [createCodeExecutionTool(TOOLS), createBashExecutionTool(TOOLS)]
  const fresh = { sessions, node: new ToolNode({ tools, sessions }) }
  conversations.set(name, fresh)
  return fresh
}

const orders = {
  /** As LibreChat's backend does it: the fields, then one stream of unknown length, so the body is chunked */
  async upload({ name, base64, fields }) {
    const form = new FormData()
    for (const [field, value] of Object.entries(fields)) form.append(field, value)
    form.append('file', Readable.from([Buffer.from(base64, 'base64')]), { filepath: name })
    const { data } = await axios.post(`${base}/upload`, form, {
      ...BACKEND,
      headers: { ...form.getHeaders(), ...BACKEND.headers, 'User-Id': fields.id },
      timeout: 120_000,
    })
    return data
  },

  async download({ session, file, user }) {
    const { data, headers } = await axios.get(`${base}/download/${session}/${file}`, {
      ...BACKEND,
      params: { kind: 'user', id: user },
      responseType: 'arraybuffer',
      timeout: 15_000,
    })
    return { base64: Buffer.from(data).toString('base64'), type: headers['content-type'], disposition: headers['content-disposition'] }
  },

  /** Files that the conversation has before its first call, as LibreChat primes them */
  async prime({ conversation, session, files }) {
    conversationOf(conversation).sessions.set('execute_code', { session_id: session, files, lastUpdated: Date.now() })
    return null
  },

  /** The tool calls of one turn of a model, all at once */
  async turn({ conversation, calls }) {
    const { node, sessions } = conversationOf(conversation)
    const tool_calls = calls.map(({ name, args }, index) => ({ name, args, id: `call_${index}`, type: 'tool_call' }))
    const { messages } = await node.invoke({ messages: [new AIMessage({ content: '', tool_calls })] })
    return {
      results: messages.map(({ content, artifact, status }) => ({ content, artifact, status })),
      files: sessions.get('execute_code')?.files ?? [],
    }
  },
}

// the library logs to the console, which is not for the one who reads our answers
const answer = process.stdout.write.bind(process.stdout)
console.log = console.info = console.debug = console.error
answer(`${JSON.stringify({ ready: process.version })}\n`)
for await (const line of createInterface({ input: process.stdin })) {
  const { number, order, ...given } = JSON.parse(line)
  orders[order](given).then(
    (value) => answer(`${JSON.stringify({ number, value })}\n`),
    (error) => answer(`${JSON.stringify({ number, error: error.response?.data?.toString() ?? String(error.stack) })}\n`),
  )
}
