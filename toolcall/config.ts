import { Type as t } from '@sinclair/typebox'
import { port, shared } from '../config.ts'

export const ToolcallConfig = t.Object({
  TOOL_CALL_SERVER_PORT: port(3033, 'Port of the tool call server'),
  CODEAPI_HOST: shared.CODEAPI_HOST,
})
