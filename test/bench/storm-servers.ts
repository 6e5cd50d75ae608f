/** The servers of `npm run bench -- storm`, in the namespace of the relays: all are switched on at once, take an
 *  address with the packets of EDK2, and then do as iPXE does: fetch the script, wait where it says so, load the
 *  ramdisk. What they met is one line of JSON on standard output. */
import { createSocket } from 'node:dgram'
import { readFileSync } from 'node:fs'
import { get } from 'node:http'
import { join } from 'node:path'
import { ipToBytes } from '../../pxe/addresses.ts'
import { messageType, OPTION } from '../../pxe/dhcp/options.ts'
import { decodePacket, encodePacket, type Packet } from '../../pxe/dhcp/packet.ts'
import { systemClock } from '../../kit/clock.ts'
import { ROOT } from '../lab/root.ts'
import { macOf, SERVER_IP } from './boot-peers.ts'

/** EDK2 asks again after so many seconds. */
const RETRIES = [4, 8, 16, 32]
const [count, ...relays] = [Number(process.argv[2]), ...process.argv.slice(3)]

const golden = (name: string): Packet =>
  decodePacket(
    Buffer.from(readFileSync(join(ROOT, 'test/golden/dhcp', `${name}.hex`), 'utf8').replace(/\s/g, ''), 'hex'),
  )
const [DISCOVER, REQUEST] = [golden('edk2-discover'), golden('edk2-request')]

const startMs = performance.now()
const sinceStart = () => (performance.now() - startMs) / 1000
const answers = new Map<number, (packet: Packet) => void>()
const socket = createSocket({ type: 'udp4', recvBufferSize: 4 << 20 })
socket.on('message', (bytes) => {
  const packet = decodePacket(bytes)
  answers.get(packet.xid)?.(packet)
})

const met = { again: 0, waited: 0, polls: 0, loading: 0, mostLoading: 0, bytes: 0 }
const times = { address: [] as number[], script: [] as number[], ramdisk: [] as number[] }
const addresses = new Map<string, number>()
let twice = 0

/** One request, sent again until the answer that is wanted comes. */
async function ask(packet: Packet, wanted: 'offer' | 'ack'): Promise<Packet> {
  for (const seconds of RETRIES) {
    const answer = new Promise<Packet>((resolve) =>
      answers.set(packet.xid, (one) => messageType(one.options) === wanted && resolve(one)),
    )
    socket.send(encodePacket(packet), 67, SERVER_IP)
    const came = await Promise.race([answer, systemClock.sleep(seconds * 1000)])
    if (came) return came
    met.again += 1
  }
  throw new Error(`no ${wanted} for transaction ${packet.xid}`)
}

async function takeAddress(n: number): Promise<string> {
  const mac = Buffer.from(macOf(n).replaceAll(':', ''), 'hex')
  const of = (packet: Packet, more: [number, Buffer][]): Packet => ({
    ...packet,
    hops: 1,
    xid: n + 1,
    chaddr: Buffer.concat([mac, Buffer.alloc(10)]),
    giaddr: relays[n % relays.length] as string,
    options: new Map([...packet.options, ...more]),
  })
  const offer = await ask(of(DISCOVER, []), 'offer')
  const chosen: [number, Buffer][] = [
    [OPTION.requestedIp, ipToBytes(offer.yiaddr)],
    [OPTION.serverId, offer.options.get(OPTION.serverId) as Buffer],
  ]
  const { yiaddr } = await ask(of(REQUEST, chosen), 'ack')
  if ((addresses.get(yiaddr) ?? n) !== n) twice += 1
  addresses.set(yiaddr, n)
  return yiaddr
}

/** Answers the text of small answers, and counts the bytes of all. */
const fetched = (path: string, localAddress: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const request = get({ host: SERVER_IP, port: 8080, path, localAddress, agent: false }, (response) => {
      const parts: Buffer[] = []
      response.on('data', (part: Buffer) => {
        met.bytes += part.length
        if (parts.length < 2) parts.push(part)
      })
      response.on('end', () =>
        response.statusCode === 200
          ? resolve(Buffer.concat(parts).toString('latin1'))
          : reject(new Error(`${path}: ${response.statusCode}`)),
      )
      response.on('error', reject)
    })
    request.on('error', reject)
  })

/** How long the script lets the server wait; undefined: it boots. */
async function waitSecondsOf(path: string, ip: string): Promise<number | undefined> {
  const seconds = /waits for a place[^\n]*\nsleep (\d+)/.exec(await fetched(path, ip))?.[1]
  return seconds === undefined ? undefined : Number(seconds)
}

async function boot(n: number): Promise<void> {
  const ip = await takeAddress(n)
  times.address.push(sinceStart())
  const path = `/boot/${macOf(n).replaceAll(':', '-')}/script.ipxe`
  let waitSeconds = await waitSecondsOf(path, ip)
  times.script.push(sinceStart())
  if (waitSeconds !== undefined) met.waited += 1
  while (waitSeconds !== undefined) {
    met.polls += 1
    await systemClock.sleep(waitSeconds * 1000)
    waitSeconds = await waitSecondsOf(path, ip)
  }
  met.loading += 1
  met.mostLoading = Math.max(met.mostLoading, met.loading)
  await fetched('/ramdisk/kernel', ip)
  await fetched('/ramdisk/initrd', ip)
  met.loading -= 1
  times.ramdisk.push(sinceStart())
}

await new Promise<void>((resolve) => socket.bind(67, resolve))
const outcomes = await Promise.allSettled(Array.from({ length: count }, (_, n) => boot(n)))
const failed = outcomes.flatMap((one) => (one.status === 'rejected' ? [String(one.reason)] : []))
const last = (list: readonly number[]) => Math.max(0, ...list)
const { again, waited, polls, mostLoading, bytes } = met
const figures = {
  servers: count,
  failed: failed.length,
  why: failed[0] ?? null,
  twice,
  addresses: addresses.size,
  again,
  waited,
  polls,
  mostLoading,
  bytes,
  addressSeconds: last(times.address),
  scriptSeconds: last(times.script),
  ramdiskSeconds: last(times.ramdisk),
}
process.stdout.write(`${JSON.stringify(figures)}\n`)
socket.close()
