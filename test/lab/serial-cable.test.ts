/** A serial cable: the BMC stays on it while guests come and go, and gets the first bytes of each. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { until } from '../../kit/clock.ts'
import { freePort } from '../kit/free-port.ts'
import { Cable } from './serial-cable.ts'

const cable = new Cable()
const sockets: Socket[] = []
afterEach(() => {
  cable.close()
  for (const socket of sockets.splice(0)) socket.destroy()
})

async function dial(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  sockets.push(socket)
  await once(socket, 'connect')
  return socket
}

test('a guest that comes after another one is heard from its first byte', async () => {
  const [bmcPort, guestPort] = [await freePort(), await freePort()]
  await cable.open([bmcPort, guestPort])
  let heard = ''
  const bmc = await dial(bmcPort)
  bmc.on('data', (bytes) => (heard += bytes.toString()))
  const hears = (text: string) => until(() => heard === text, { what: `the BMC to hear ${text}`, timeoutMs: 20_000 })

  const first = await dial(guestPort)
  first.write('first ')
  await hears('first ')
  const typed = once(first, 'data')
  bmc.write('typed')
  expect(String((await typed)[0])).toBe('typed')
  first.resetAndDestroy()

  // Its predecessor may not have been missed yet.
  const second = await dial(guestPort)
  second.write('second')
  await hears('first second')
  expect(bmc.destroyed).toBe(false)
})
