/** Ports for programs that must know theirs before they start, or keep it when they start again. The kernel gives no
 *  such port to anybody by itself: between two starts, neither a connection nor a listener on port 0 can take it. */
import { randomInt } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:net'

/** Below the ports that Linux hands out (ip_local_port_range, 32768 to 60999). */
const [FIRST, END] = [12_000, 32_000]

/** A port of the address that nothing uses now, neither by TCP nor by UDP. */
export async function freePort(address = '127.0.0.1'): Promise<number> {
  for (;;) {
    const port = randomInt(FIRST, END)
    if ((await isFreeForTcp(port, address)) && (await isFreeForUdp(port, address))) return port
  }
}

async function isFreeForTcp(port: number, address: string): Promise<boolean> {
  const server = createServer()
  try {
    server.listen(port, address)
    await once(server, 'listening')
    server.close()
    await once(server, 'close')
    return true
  } catch (error) {
    return inUse(error)
  }
}

async function isFreeForUdp(port: number, address: string): Promise<boolean> {
  const socket = createSocket('udp4')
  try {
    socket.bind(port, address)
    await once(socket, 'listening')
    return true
  } catch (error) {
    return inUse(error)
  } finally {
    socket.close()
  }
}

function inUse(error: unknown): false {
  if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
  return false
}
