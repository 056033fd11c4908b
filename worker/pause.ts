import { setTimeout } from 'node:timers/promises'

/** Waits, but not beyond `signal` */
export const pause = (ms: number, signal: AbortSignal): Promise<void> => setTimeout(ms, undefined, { signal }).catch(() => {})
