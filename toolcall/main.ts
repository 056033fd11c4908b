import { type Environment, read } from '../config.ts'
import { listen } from '../listen.ts'
import { log } from '../log.ts'
import { runService } from '../service.ts'
import { createToolcall } from './app.ts'
import { ToolcallConfig } from './config.ts'

export const startToolcall = async (env: Environment) => {
  const config = read(ToolcallConfig, env)
  const app = createToolcall()
  const listening = listen(app, { port: config.TOOL_CALL_SERVER_PORT, hostname: config.CODEAPI_HOST, variable: 'TOOL_CALL_SERVER_PORT' })
  log.info({ url: listening.url }, 'toolcall is listening')
  return listening
}

if (import.meta.main) await runService(startToolcall)
