import type { Redis } from 'ioredis'
import { AppError } from '../errors.ts'
import type { WorkOrder } from '../order.ts'
import { keys } from './contract.ts'
import { answer } from './redis.ts'

/** How long a budget outlives its order, in `s`: clocks differ and an upload may end after it */
const GRACE_S = 3_600

/**
 * Counts the files that a work order stores. The same file sent again costs nothing more, so a worker may repeat an upload whose answer
 * it has not seen; a file counts while any upload of it is under way or was completed.
 */
export const createBudget = (redis: Redis) => ({
  async take(order: WorkOrder, file: string): Promise<void> {
    const expiry = order.exp + GRACE_S
    const taken = await answer(redis.eval(TAKE, 1, keys.spent(order.jti), file, order.write.maxFiles, expiry))
    if (!taken) throw new AppError(403, 'order_exhausted', `Cannot store the file: the work order allows ${order.write.maxFiles} files`)
  },

  async giveBack(order: WorkOrder, file: string): Promise<void> {
    await answer(redis.eval(GIVE_BACK, 1, keys.spent(order.jti), file))
  },
})
export type Budget = ReturnType<typeof createBudget>

/** KEYS budget; ARGV file, most files, expiry in s since 1970 */
const TAKE = `
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('HINCRBY', KEYS[1], ARGV[1], 1)
redis.call('EXPIREAT', KEYS[1], ARGV[3])
return 1`

/** KEYS budget; ARGV file */
const GIVE_BACK = `
if redis.call('HINCRBY', KEYS[1], ARGV[1], -1) <= 0 then redis.call('HDEL', KEYS[1], ARGV[1]) end
return 1`
