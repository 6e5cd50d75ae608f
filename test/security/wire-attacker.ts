/** Runs inside a network namespace, as a machine on the provisioning wire: floods of TFTP, HTTP and DHCP, and an honest
 *  client that boots beside them. Prints one line of JSON. */
import { createSocket, type Socket } from 'node:dgram'
import { readFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { systemClock, until } from '../../kit/clock.ts'
import { MESSAGE, messageType, OPTION, u16, u8 } from '../../pxe/dhcp/options.ts'
import { decodePacket, encodePacket, type Packet } from '../../pxe/dhcp/packet.ts'
import { ipToBytes } from '../../pxe/addresses.ts'
import { decodeTftp, encodeTftp } from '../../pxe/tftp/packet.ts'
import { ROOT } from '../lab/root.ts'

const SERVER = '10.99.0.1'
const HTTP_PORT = 8088
/** Datagrams between two looks at the clock: enough to keep the server busy, few enough to let others send. */
const BURST = 40

const [, , mode = '', target = '', seconds = '2'] = process.argv
const endMs = systemClock.now() + Number(seconds) * 1000
/** On a busy machine a flood goes on until it is one. */
const ENOUGH = 400
const latestEndMs = endMs + 60_000
const goesOn = (sent: number): boolean => {
  const nowMs = systemClock.now()
  return nowMs < endMs || (sent < ENOUGH && nowMs < latestEndMs)
}

const template = decodePacket(
  Buffer.from(readFileSync(join(ROOT, 'test/golden/dhcp/linux-discover.hex'), 'utf8').replace(/\s/g, ''), 'hex'),
)

function packet(mac: Buffer, type: keyof typeof MESSAGE, options: [number, Buffer][]): Packet {
  const chaddr = Buffer.alloc(16)
  mac.copy(chaddr)
  return { ...template, chaddr, flags: 0x8000, options: new Map([[OPTION.messageType, u8(MESSAGE[type])], ...options]) }
}
const macBytes = (text: string): Buffer => Buffer.from(text.replaceAll(':', ''), 'hex')
const pxe = (arch: number): [number, Buffer][] => [
  [OPTION.vendorClass, Buffer.from('PXEClient')],
  [OPTION.clientArch, u16(arch)],
]

async function bound(address: string, port: number): Promise<Socket> {
  const socket = createSocket({ type: 'udp4', reuseAddr: true })
  await new Promise<void>((resolve) => socket.bind(port, address, resolve))
  socket.setBroadcast(true)
  socket.on('error', () => undefined)
  return socket
}

async function flood(datagram: (n: number) => Buffer, port: number, to: string): Promise<number> {
  const socket = await bound('', 0)
  let sent = 0
  while (goesOn(sent)) {
    for (let n = 0; n < BURST; n += 1) socket.send(datagram(sent + n), port, to, () => undefined)
    sent += BURST
    await new Promise((resolve) => setImmediate(resolve))
  }
  return sent
}

const get = (path: string, from: string): Promise<{ status: number; body: string }> =>
  new Promise((resolve, reject) => {
    const asked = request(
      { host: SERVER, port: HTTP_PORT, path, localAddress: from, agent: false, timeout: 5000 },
      (response) => {
        let body = ''
        response.setEncoding('utf8').on('data', (part: string) => (body += part))
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body }))
      },
    )
    asked.on('timeout', () => asked.destroy(new Error('no answer')))
    asked.on('error', reject).end()
  })

async function floodScripts(from: string): Promise<number> {
  let asked = 0
  const loop = async () => {
    while (goesOn(asked)) {
      await get(`/boot/02-00-00-00-00-0${asked % 10}/script.ipxe`, from).catch(() => undefined)
      asked += 1
    }
  }
  await Promise.all(Array.from({ length: 8 }, loop))
  return asked
}

/** Sends until the answer comes, as firmware does. */
async function exchange<T>(send: () => void, answer: () => T | undefined, what: string): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    send()
    const got = await until(answer, { what, timeoutMs: 1000, everyMs: 10 }).catch((error: unknown) => {
      if (tries === 15) throw error
      return undefined
    })
    if (got !== undefined) return got
  }
}

/** DHCP, the loader's first block by TFTP, the script by HTTP. */
async function boot(mac: string, ip: string): Promise<{ ip: string; loaderBytes: number; script: number }> {
  const dhcp = await bound('', 68)
  let reply: Packet | undefined
  dhcp.on('message', (bytes) => {
    const got = decodePacket(bytes)
    if (got.op === 2 && got.chaddr.subarray(0, 6).equals(macBytes(mac))) reply = got
  })
  const ask = (type: 'discover' | 'request', options: [number, Buffer][], wanted: string) =>
    exchange(
      () => dhcp.send(encodePacket(packet(macBytes(mac), type, [...pxe(7), ...options])), 67, '10.99.0.255'),
      () => (reply && messageType(reply.options) === wanted ? reply : undefined),
      `DHCP ${wanted}`,
    )
  const offered = (await ask('discover', [], 'offer')).yiaddr
  const acked = (await ask('request', [[OPTION.requestedIp, ipToBytes(offered)]], 'ack')).yiaddr
  dhcp.close()

  const tftp = await bound(ip, 0)
  let loaderBytes = 0
  tftp.on('message', (bytes, from) => {
    const got = decodeTftp(bytes)
    if (got.op === 'data') loaderBytes = Math.max(loaderBytes, got.bytes.length)
    tftp.send(encodeTftp({ op: 'error', code: 0, message: 'enough' }), from.port, from.address)
  })
  const rrq = encodeTftp({ op: 'rrq', file: 'snponly.efi', mode: 'octet', options: new Map() })
  await exchange(
    () => tftp.send(rrq, 69, SERVER),
    () => loaderBytes || undefined,
    'TFTP data',
  )
  tftp.close()

  const path = `/boot/${mac.replaceAll(':', '-')}/script.ipxe`
  const script = await until(() => get(path, ip).catch(() => undefined), { what: 'the script', timeoutMs: 30_000 })
  return { ip: acked, loaderBytes, script: script.status }
}

const random = (n: number): Buffer => Buffer.from([2, 0xee, n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255])
const ATTACKS: Readonly<Record<string, () => Promise<unknown>>> = {
  tftp: () =>
    flood(
      (n) =>
        encodeTftp({ op: 'rrq', file: `\x1b]0;owned\x07${'x'.repeat(150)}${n}`, mode: 'octet', options: new Map() }),
      69,
      SERVER,
    ),
  scripts: () => floodScripts(target),
  'dhcp-known': () => flood(() => encodePacket(packet(macBytes(target), 'discover', pxe(6))), 67, '10.99.0.255'),
  'dhcp-random': () => flood((n) => encodePacket(packet(random(n), 'discover', pxe(7))), 67, '10.99.0.255'),
  boot: () => boot(target, seconds),
}
process.stdout.write(`${JSON.stringify(await ATTACKS[mode]?.())}\n`)
process.exit(0)
