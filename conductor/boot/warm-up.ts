/** Serves made-up DHCP clients on a loopback socket before the real sockets open: V8 interprets code that is new, and
 *  the first servers of a rack would wait for that. Nothing of it is kept, and nothing leaves this machine. */
import { createSocket, type Socket } from 'node:dgram'
import { Writable } from 'node:stream'
import type { Clock } from '../../kit/clock.ts'
import { bind, noLookup } from '../../kit/listen.ts'
import { silentLog } from '../../kit/log.ts'
import { ipToBytes, macToText } from '../../pxe/addresses.ts'
import { LeaseBook } from '../../pxe/dhcp/leases.ts'
import { OPTION, u16, u8 } from '../../pxe/dhcp/options.ts'
import { decodePacket, encodePacket, NO_ADDRESS, type Packet } from '../../pxe/dhcp/packet.ts'
import type { DhcpServer } from '../../pxe/dhcp/server.ts'
import { LOADERS } from '../../pxe/firmware.ts'
import { LoaderPaths } from '../../pxe/loader-paths.ts'
import { BootClients } from './clients.ts'
import { BootCounters } from './counters.ts'
import { dhcpServer } from './dhcp-door.ts'
import { BootEvents } from './events.ts'
import { SqliteLeases } from './leases.ts'
import { BootLoaders } from './loaders.ts'
import { Observer } from './observe.ts'
import type { BootClient } from './orders.ts'
import { Outbox } from './outbox.ts'

/** By then V8 has compiled what is called for each packet. */
const CLIENTS = 2000
const ROUNDS = 3
const AT_ONCE = 16
/** More than any of them has, so that none is held back. */
const PER_SECOND = 1000
/** A loopback interface that is down, or drops packets, is no reason to wait. */
const PATIENCE_MS = 500
/** On a slow machine, and where packets get lost, servers wait longer for the warm-up than it saves them. */
const BUDGET_MS = 10_000
/** All addresses are of the loopback network. Answers go to the port of relays. */
const SERVER = '127.198.0.1'
const RELAY = '127.198.0.2'
const RELAY_PORT = 67
const SUBNET = {
  cidr: '127.198.0.0/16',
  serverIp: SERVER,
  first: '127.198.1.0',
  last: '127.198.200.255',
  mode: 'own',
  firstChoice: false,
  leaseSeconds: 3600,
} as const

/** Answers how many clients got an address: none where the loopback interface does not work. Each round has objects of
 *  its own, as the real service will: what V8 compiled for the only ones that it ever saw would not hold for those. */
export async function warmUp(clock: Clock, { clients = CLIENTS, rounds = ROUNDS } = {}): Promise<number> {
  let served = 0
  const budget = new AbortController()
  const cancel = clock.after(BUDGET_MS, () => budget.abort())
  for (let round = 0; round < rounds && !budget.signal.aborted; round += 1)
    served += await serve({ clock, isOver: () => budget.signal.aborted }, clients, round)
  cancel()
  return served
}

interface WarmUpTime {
  readonly clock: Clock
  readonly isOver: () => boolean
}

async function serve({ clock, isOver }: WarmUpTime, clientCount: number, round: number): Promise<number> {
  const { dhcp, close } = throwaway(clock, clientCount, round)
  let rack: Socket | undefined
  let served = 0
  try {
    rack = await bind(createSocket({ type: 'udp4', reuseAddr: true, lookup: noLookup }), {
      port: RELAY_PORT,
      address: RELAY,
    })
    const door = await bind(createSocket({ type: 'udp4', reuseAddr: true, lookup: noLookup }), {
      port: 0,
      address: SERVER,
    })
    dhcp.attach(door, { interface: 'lo', localIp: SERVER })
    const ask = asking(rack, door.address().port, clock)
    for (let from = 0; from < clientCount && !isOver(); from += AT_ONCE) {
      const macs = Array.from({ length: Math.min(AT_ONCE, clientCount - from) }, (_, i) => macOf(from + i, round))
      const offers = await ask(macs.map((mac) => packetOf(mac, 1)))
      const acks = await ask(offers.map(({ mac, ip }) => packetOf(mac, 3, ip)))
      served += acks.length
      if (acks.length === 0) break
    }
  } catch {
    // Slower first answers are all that comes of it.
  } finally {
    close()
    rack?.close()
  }
  return served
}

interface Given {
  readonly mac: string
  readonly ip: string
}

/** Sends packets at once, and answers what came for them. */
function asking(rack: Socket, port: number, clock: Clock) {
  let take: (answer: Given) => void = () => undefined
  rack.on('error', () => undefined)
  rack.on('message', (bytes) => {
    const answer = answerOf(bytes)
    if (answer) take(answer)
  })
  return (packets: readonly Buffer[]): Promise<readonly Given[]> =>
    new Promise((resolve) => {
      const answers: Given[] = []
      const end = () => {
        cancel()
        resolve(answers)
      }
      const cancel = clock.after(PATIENCE_MS, end)
      take = (answer) => {
        if (answers.push(answer) === packets.length) end()
      }
      if (packets.length === 0) end()
      for (const bytes of packets) rack.send(bytes, port, SERVER)
    })
}

/** Undefined: it is no answer; any program of this machine can send to the port. */
function answerOf(bytes: Buffer): Given | undefined {
  try {
    const { op, chaddr, yiaddr } = decodePacket(bytes)
    return op === 2 ? { mac: macToText(chaddr), ip: yiaddr } : undefined
  } catch {
    return undefined
  }
}

/** DHCP as the boot services have it, with nothing behind it. */
function throwaway(clock: Clock, clientCount: number, round: number): { dhcp: DhcpServer; close: () => void } {
  const clients = new BootClients({ open: nowhere, snapshot: '', clock, onWarning: () => undefined })
  const set = Array.from({ length: clientCount }, (_, n) => clientOf(n, round))
  clients.apply({ t: 'clients', revision: 1, whole: true, set, gone: [], media: [] })
  const store = new SqliteLeases(':memory:')
  const leases = new LeaseBook(store, { declinesPerMac: 1, siblings: clients.siblings })
  // What V8 compiled holds for objects of the same form: these have the fields of the real ones, in the same order.
  const ignore = () => undefined
  const counters = new BootCounters()
  const outbox = new Outbox({ limit: PER_SECOND, clock })
  outbox.attach(new Writable({ write: (_, __, done) => done() }))
  const events = new BootEvents({
    perSecond: PER_SECOND,
    clock,
    log: silentLog,
    emit: (event) => outbox.push(event),
    onHeldBack: ignore,
  })
  const client = clients.get
  const paths = new BootLoaders({ paths: new LoaderPaths(store.loaders), clock, events, client })
  const media = { clientAt: ignore }
  const observer = new Observer({ events, counters, leases, client, loaders: paths, media })
  const own = { address: SERVER, port: 1 }
  const boot = { http: own, tftp: SERVER, interfaces: [], subnets: [{ ...SUBNET, dns: [] }] }
  const loaders = new Set(LOADERS)
  const dhcp = dhcpServer({ config: { boot, agent: own }, loaders, clients, leases, clock, observer, paths })
  const close = () => {
    dhcp.stop()
    outbox.attach(undefined)
    events.stop()
    clients.flush()
    store.close()
  }
  return { dhcp, close }
}

/** Clients are neither loaded nor stored. */
const nowhere = (): never => {
  throw new Error('the clients of the warm-up are stored nowhere')
}

/** A maker of cards for each round. */
const macOf = (n: number, round: number): string => `02:00:${hex(round)}:${hex(n >> 16)}:${hex(n >> 8)}:${hex(n)}`
const hex = (value: number): string => (value & 255).toString(16).padStart(2, '0')

function clientOf(n: number, round: number): BootClient {
  const order = { kind: 'ramdisk', generation: 1, rescue: false, token: true } as const
  return { mac: macOf(n, round), nodeUuid: `warm-up-${n}`, label: '', order, fixedIp: null, hostName: null, card: null }
}

/** As UEFI firmware behind a relay sends it. */
function packetOf(mac: string, type: 1 | 3, ip?: string): Buffer {
  const chaddr = Buffer.alloc(16)
  chaddr.write(mac.replaceAll(':', ''), 'hex')
  const packet: Packet = {
    op: 1,
    htype: 1,
    hlen: 6,
    hops: 1,
    xid: type,
    secs: 0,
    flags: 0,
    ciaddr: NO_ADDRESS,
    yiaddr: NO_ADDRESS,
    siaddr: NO_ADDRESS,
    giaddr: RELAY,
    chaddr,
    sname: '',
    file: '',
    options: new Map([
      [OPTION.messageType, u8(type)],
      ...(ip === undefined ? [] : chosen(ip)),
      [OPTION.clientUuid, Buffer.concat([Buffer.alloc(1), chaddr])],
      [OPTION.clientArch, u16(7)],
      [OPTION.vendorClass, Buffer.from('PXEClient:Arch:00007:UNDI:003016')],
    ]),
  }
  return encodePacket(packet)
}

const chosen = (ip: string): [number, Buffer][] => [
  [OPTION.requestedIp, ipToBytes(ip)],
  [OPTION.serverId, ipToBytes(SERVER)],
]
