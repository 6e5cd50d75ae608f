/** The process of the socket that leads to the API of a conductor that lives: door-main.js SOCKET
 *  CONDUCTOR-SOCKET... */
import { rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'

const [own = '', ...sockets] = process.argv.slice(2)

/** The first that takes the connection. Undefined: none does. */
async function reach(): Promise<Socket | undefined> {
  for (const path of sockets) {
    const found = await new Promise<Socket | undefined>((resolve) => {
      const socket = connect(path)
      socket.once('connect', () => resolve(socket))
      socket.once('error', () => resolve(undefined))
    })
    if (found) return found
  }
  return undefined
}

const server = createServer({ pauseOnConnect: true }, (from) => {
  from.on('error', () => undefined)
  void reach().then((to) => {
    if (!to) return void from.destroy()
    for (const [one, other] of [
      [from, to],
      [to, from],
    ] as const) {
      one.on('error', () => other.destroy())
      one.on('close', () => other.destroy())
      one.pipe(other)
    }
  })
})
rmSync(own, { force: true })
server.listen(own)
