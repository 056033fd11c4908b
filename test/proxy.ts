import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { Transform } from 'node:stream'

/** What the network does to answers: passes them, breaks the connection after some bytes, holds them back for good, or takes no connection */
export type Weather = 'clear' | { cutAfter: number } | 'silent' | 'down'

/** A TCP proxy on a port of its own in front of `port`, for what goes wrong between two services. A slow reader is felt by the server behind it */
export const startProxy = async (port: number) => {
  let weather: Weather = 'clear'
  const open = new Set<Socket>()
  let passed = 0
  const server = createServer((near) => {
    if (weather === 'down') return void near.destroy()
    const far = connect(port, '127.0.0.1')
    let mine = 0
    const sky = new Transform({
      transform(bytes: Uint8Array, _encoding, done) {
        mine += bytes.length
        passed += bytes.length
        if (typeof weather === 'object' && mine > weather.cutAfter) near.destroy()
        // without `done` no more is read
        else if (weather !== 'silent') done(null, bytes)
      },
    })
    const end = () => {
      open.delete(near)
      near.destroy()
      far.destroy()
    }
    open.add(near)
    near.on('close', end).on('error', end).pipe(far)
    far.on('error', end).pipe(sky).pipe(near)
  })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  const breakAll = () => {
    for (const near of open) near.destroy()
  }
  return {
    port: (server.address() as AddressInfo).port,
    /** Connections that are open now */
    open: () => open.size,
    /** Bytes of answers that came through so far */
    passed: () => passed,
    /** From now on; `down` also breaks what is open */
    set(now: Weather) {
      weather = now
      if (now === 'down') breakAll()
    },
    [Symbol.dispose]() {
      server.close()
      breakAll()
    },
  }
}
