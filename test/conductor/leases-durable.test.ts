/** Over real sockets: what a client is told that it has is in the file of leases before it is told, together with what
 *  others are told in the same turn; and nobody of a thousand is forgotten. */
import { createSocket, Socket } from 'node:dgram'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { expect, onTestFinished, test, vi } from 'vitest'
import { SqliteLeases } from '../../conductor/boot/leases.ts'
import { until } from '../../kit/clock.ts'
import { ipToBytes } from '../../pxe/addresses.ts'
import { LeaseBook } from '../../pxe/dhcp/leases.ts'
import { MESSAGE, messageType, OPTION } from '../../pxe/dhcp/options.ts'
import { decodePacket, encodePacket, packetMac, type Packet } from '../../pxe/dhcp/packet.ts'
import { makeReceiveRoom } from '../../pxe/receive-room.ts'
import { freePort } from '../kit/free-port.ts'
import { bench, packet } from '../pxe/dhcp-bench.ts'
import { numberedMac } from './boot-clients.ts'

const SERVER_IP = '127.55.0.1'
const RELAY_IP = '127.55.0.2'
const WAIT_MS = 30_000
const QUARTER_MS = 15 * 60_000

/** Counts the transactions that wrote something. */
class Counting extends SqliteLeases {
  transactions = 0
  private isDirty = false

  override save(lease: Parameters<SqliteLeases['save']>[0]): void {
    this.isDirty = true
    super.save(lease)
  }

  override commit(): void {
    super.commit()
    if (this.isDirty) this.transactions += 1
    this.isDirty = false
  }

  /** As on a disk that is full. */
  refuseWrites(isRefused: boolean): void {
    const { db } = this as unknown as { db: Database.Database }
    db.pragma(`query_only = ${isRefused ? 1 : 0}`)
  }
}

/** The DHCP server with leases in a file, and a relay that speaks for `count` clients. */
async function rack(count: number) {
  const dir = await mkdtemp(join(tmpdir(), 'rackward-durable-'))
  const unwritten: string[] = []
  const store = new Counting(join(dir, 'leases.db'), (why) => unwritten.push(why))
  const file = new Database(join(dir, 'leases.db'), { readonly: true })
  const select = file.prepare('SELECT mac, expires_at AS untilMs FROM addresses WHERE ip = ?')
  const rowOf = (ip: string) => select.get(ip) as { mac: string; untilMs: number } | undefined
  const subnet = {
    cidr: '127.55.0.0/16',
    first: '127.55.1.0',
    last: '127.55.9.255',
    serverIp: SERVER_IP,
    dns: [],
    leaseSeconds: 600,
  }
  const macs = Array.from({ length: count }, (_, n) => numberedMac(n))
  const leases = new LeaseBook(store, { declinesPerMac: 3 })
  const made = bench({}, { macs, subnets: [subnet], leases })
  const port = await freePort()
  await made.server.listen({ interface: 'lo', localIp: SERVER_IP, port })
  const relay = await bound(0, RELAY_IP)
  const restore = toPortOf(relay)
  makeReceiveRoom(relay)
  onTestFinished(async () => {
    made.server.stop()
    restore()
    relay.close()
    file.close()
    store.close()
    await rm(dir, { recursive: true })
  })

  const answers: { type: string; mac: string; ip: string; isDurable: boolean }[] = []
  relay.on('message', (bytes) => {
    const { options, yiaddr: ip, ...rest } = decodePacket(bytes)
    const mac = packetMac({ options, yiaddr: ip, ...rest })
    answers.push({ type: messageType(options) ?? 'none', mac, ip, isDurable: rowOf(ip)?.mac === mac })
  })
  const send = (n: number, type: 'discover' | 'request', more: [number, Buffer][] = []) => {
    const chaddr = Buffer.alloc(16)
    Buffer.from((macs[n] as string).replaceAll(':', ''), 'hex').copy(chaddr)
    const asked: Packet = { ...packet(1, type, more), chaddr, giaddr: RELAY_IP }
    relay.send(encodePacket(asked), port, '127.0.0.1')
  }
  const request = (n: number, ip: string) =>
    send(n, 'request', [
      [OPTION.requestedIp, ipToBytes(ip)],
      [OPTION.serverId, ipToBytes(SERVER_IP)],
    ])
  const ofType = (type: keyof typeof MESSAGE) => answers.filter((one) => one.type === type)
  const answered = (type: keyof typeof MESSAGE, least: number) =>
    until(() => ofType(type).length >= least && ofType(type), { what: `${least} ${type}s`, timeoutMs: WAIT_MS })
  return { ...made, store, macs, unwritten, rowOf, send, request, answers, ofType, answered }
}

/** Answers to a relay go to its port 67, which others on this machine may use: here they go to the port of this one. */
function toPortOf(relay: Socket): () => void {
  const { send } = Socket.prototype as unknown as { send: (this: Socket, ...args: unknown[]) => void }
  const { port } = relay.address()
  const spy = vi.spyOn(Socket.prototype, 'send').mockImplementation(function (this: Socket, ...args: unknown[]) {
    if (args[1] === 67 && args[2] === RELAY_IP) args[1] = port
    send.apply(this, args)
  })
  return () => spy.mockRestore()
}

async function bound(port: number, address: string): Promise<Socket> {
  const socket = createSocket('udp4')
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject)
    socket.bind(port, address, resolve)
  })
  return socket
}

test('an address that cannot be written is acknowledged to nobody; once it can be, the client that asks again gets it', async () => {
  const { store, send, request, answered, ofType, events, unwritten, rowOf } = await rack(2)
  send(0, 'discover')
  const [{ ip } = { ip: '' }] = await answered('offer', 1)
  store.refuseWrites(true)
  request(0, ip)
  await until(() => events.some(({ kind }) => kind === 'fault'), { what: 'the fault', timeoutMs: WAIT_MS })
  // Answers leave in order: an ACK would have come before this offer.
  send(1, 'discover')
  await answered('offer', 2)
  request(0, ip)
  await until(() => events.filter(({ kind }) => kind === 'fault').length > 1, { what: 'another', timeoutMs: WAIT_MS })
  send(1, 'discover')
  await answered('offer', 3)
  expect(ofType('ack')).toEqual([])
  expect(rowOf(ip)).toBeUndefined()
  expect(unwritten[0]).toMatch(/readonly/)

  store.refuseWrites(false)
  request(0, ip)
  expect(await answered('ack', 1)).toEqual([expect.objectContaining({ ip, isDurable: true })])
})

test('a lease is written a quarter of an hour ahead: who asks again until then needs no write, and waits for none', async () => {
  const { store, clock, send, request, answered, ofType, events, rowOf } = await rack(2)
  send(0, 'discover')
  const [{ ip } = { ip: '' }] = await answered('offer', 1)
  request(0, ip)
  await answered('ack', 1)
  const writtenUntilMs = clock.ms + 600_000 + QUARTER_MS
  expect([store.transactions, rowOf(ip)?.untilMs]).toEqual([1, writtenUntilMs])

  store.refuseWrites(true)
  clock.ms += QUARTER_MS
  request(0, ip)
  await answered('ack', 2)
  expect([store.transactions, rowOf(ip)?.untilMs]).toEqual([1, writtenUntilMs])
  // From now on it would be told more than is written.
  clock.ms += 1
  request(0, ip)
  await until(() => events.some(({ kind }) => kind === 'fault'), { what: 'the fault', timeoutMs: WAIT_MS })
  send(1, 'discover')
  await answered('offer', 2)
  expect(ofType('ack')).toHaveLength(2)

  store.refuseWrites(false)
  request(0, ip)
  await answered('ack', 3)
  expect(rowOf(ip)?.untilMs).toBe(clock.ms + 600_000 + QUARTER_MS)
})

test('a thousand servers ask at once: each gets an address of its own at its first try, durable before the ACK, in few transactions', async () => {
  const count = 1000
  const { store, macs, send, request, answered, events } = await rack(count)
  for (let n = 0; n < count; n += 1) send(n, 'discover')
  const offers = new Map((await answered('offer', count)).map(({ mac, ip }) => [mac, ip]))
  for (const [n, mac] of macs.entries()) request(n, offers.get(mac) as string)
  const acks = await answered('ack', count)
  expect(new Set(acks.map(({ mac }) => mac)).size).toBe(count)
  expect(new Set(acks.map(({ ip }) => ip)).size).toBe(count)
  expect(acks.filter(({ isDurable }) => !isDurable)).toEqual([])
  expect(events.filter(({ kind }) => kind !== 'reply')).toEqual([])
  expect(store.transactions).toBeLessThan(count / 4)
})
