/** Runs inside the rack's namespace: a card that belongs to no node asks for an address, three times; prints how many
 *  answers came. */
import { createSocket } from 'node:dgram'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { systemClock } from '../../kit/clock.ts'
import { ROOT } from '../lab/root.ts'

const [, , lastByte = '1'] = process.argv
const packet = Buffer.from(
  readFileSync(join(ROOT, 'test/golden/dhcp/linux-discover.hex'), 'utf8').replace(/\s/g, ''),
  'hex',
)
packet.set([0x02, 0, 0, 0, 0xee, Number(lastByte)], 28)
const socket = createSocket({ type: 'udp4', reuseAddr: true })
let answers = 0
socket.on('message', (reply) => {
  if (reply.subarray(28, 34).equals(packet.subarray(28, 34))) answers += 1
})
await new Promise<void>((resolve) => socket.bind(68, () => resolve()))
socket.setBroadcast(true)
for (let n = 0; n < 3; n += 1) {
  socket.send(packet, 67, '10.77.0.255')
  await systemClock.sleep(300)
}
process.stdout.write(`${answers}\n`)
process.exit(0)
