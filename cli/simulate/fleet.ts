/** The servers of a simulation with the sockets of their BMCs. Each has an address of its own from `firstAddress` on,
 *  for all of 127.0.0.0/8 is this machine; or, with `ports`, one address and a port each. */
import { createSocket, type Socket } from 'node:dgram'
import type { Clock } from '../../kit/clock.ts'
import { bind, noLookup } from '../../kit/listen.ts'
import type { Random } from '../../kit/random.ts'
import { Semaphore } from '../../kit/semaphore.ts'
import { ipToNumber, numberToIp } from '../../pxe/addresses.ts'
import { CliError } from '../error.ts'
import { dice } from './dice.ts'
import { dealFaults, type FaultName, type WantedFaults } from './faults.ts'
import { IpmiBmc } from './ipmi-bmc.ts'
import type { Measures } from './measures.ts'
import { RedfishBmcs, type RedfishBmc } from './redfish-bmcs.ts'
import type { Relay } from './relay.ts'
import { Server } from './server.ts'
import { ServerTimes, type Times } from './times.ts'

export type Driver = 'ipmi' | 'redfish'

export interface FleetOptions {
  readonly nodes: number
  readonly prefix: string
  readonly seed: number
  readonly times: Times
  readonly faults: WantedFaults
  /** Drivers, in turn. */
  readonly drivers: readonly Driver[]
  readonly bmc: BmcPlaces
}

export interface BmcPlaces {
  readonly firstAddress: string
  readonly ipmiPort: number
  readonly redfishPort: number
  /** One address, and a port for each. */
  readonly ports: boolean
}

export interface FleetParts {
  readonly clock: Clock
  readonly random: Random
  readonly measures: Measures
  readonly relay: Relay
}

/** A server and how its node is enrolled. */
export interface Member {
  readonly server: Server
  readonly driver: Driver
  readonly fault: FaultName | undefined
  readonly address: string
  readonly port: number
  /** As the BMC has it. */
  readonly password: string
  readonly driverInfo: Readonly<Record<string, unknown>>
}

export const USER = 'admin'
const SLOW_MS = 500
const OPENING = 64

const hex = (n: number, digits: number) => n.toString(16).padStart(digits, '0')
/** Locally administered. */
const macOf = (n: number) => `02:5e:${[24, 16, 8, 0].map((shift) => hex((n >>> shift) & 255, 2)).join(':')}`
const uuidOf = (n: number) => `5e000000-0000-4000-8000-${hex(n, 12)}`

export class Fleet {
  readonly members: readonly Member[]
  private readonly options: FleetOptions
  private readonly parts: FleetParts
  private readonly sockets: Socket[] = []
  private readonly redfish: RedfishBmcs

  constructor(options: FleetOptions, parts: FleetParts) {
    const { nodes, seed, faults } = options
    this.options = options
    this.parts = parts
    const chance = dice(seed)
    const dealt = dealFaults(faults, nodes, chance)
    this.members = Array.from({ length: nodes }, (_, n) =>
      this.member(n, dealt.get(n), Math.floor(chance.next() * 2 ** 32)),
    )
    const at = new Map(
      this.members.filter(({ driver }) => driver === 'redfish').map((one) => [one.address, bmcOf(one)]),
    )
    this.redfish = new RedfishBmcs({ ...parts, bmcAt: (address) => at.get(address) })
  }

  private member(n: number, fault: FaultName | undefined, seed: number): Member {
    const { prefix, times, drivers, bmc, nodes } = this.options
    const chance = dice(seed)
    const driver = drivers[n % drivers.length] as Driver
    const name = `${prefix}-${String(n + 1).padStart(String(nodes).length, '0')}`
    const options = { name, mac: macOf(n + 1), uuid: uuidOf(n + 1), fault }
    const server = new Server({ ...options, times: new ServerTimes(times, chance, fault === 'slow') }, this.parts)
    const address = bmc.ports ? bmc.firstAddress : numberToIp(ipToNumber(bmc.firstAddress) + n)
    const port = driver === 'redfish' ? bmc.redfishPort : bmc.ipmiPort + (bmc.ports ? n : 0)
    const password = `s${hex(seed, 8)}${hex(n, 6)}`
    const told = fault === 'wrong-password' ? 'not-the-password' : password
    const driverInfo =
      driver === 'redfish'
        ? { redfish_address: `https://${address}:${port}`, redfish_username: USER, redfish_password: told }
        : { ipmi_address: address, ipmi_port: port, ipmi_username: USER, ipmi_password: told }
    return { server, driver, fault, address, port, password, driverInfo }
  }

  async start(): Promise<void> {
    const opening = new Semaphore(OPENING)
    const ipmi = this.members.filter(({ driver }) => driver === 'ipmi')
    // All have ended before the first failure is told: what was opened can be closed then.
    const opened = await Promise.allSettled(ipmi.map((one) => opening.run(() => this.open(one))))
    const failed = opened.find((one) => one.status === 'rejected')
    if (failed) throw failed.reason
    const redfish = this.members.filter(({ driver }) => driver === 'redfish').map(({ address }) => address)
    if (redfish.length > 0) await this.redfish.listenOn(redfish, this.options.bmc.redfishPort)
  }

  async stop(): Promise<void> {
    for (const { server } of this.members) server.end()
    for (const socket of this.sockets.splice(0)) socket.close()
    await this.redfish.close()
  }

  private async open(member: Member): Promise<void> {
    const { server, fault, address, port, password } = member
    const { clock, random } = this.parts
    const guid = Buffer.from(server.uuid.replaceAll('-', ''), 'hex').reverse()
    const bmc = new IpmiBmc({ chassis: server, user: USER, password, guid, random })
    const socket = createSocket({ type: 'udp4', lookup: noLookup })
    const bound = await bind(socket, { address, port }).catch((error: Error) =>
      Promise.reject(
        new CliError('failed', `the BMC of ${server.name} cannot listen on ${address} port ${port}: ${error.message}`),
      ),
    )
    this.sockets.push(bound)
    bound.on('error', () => undefined)
    bound.on('message', (bytes, from) => {
      if (fault === 'dead') return
      const send = () => {
        const answer = bmc.answer(bytes)
        if (answer && this.sockets.length > 0) bound.send(answer, from.port, from.address)
      }
      if (fault === 'slow') clock.after(SLOW_MS, send)
      else send()
    })
  }
}

const bmcOf = ({ server, password, fault }: Member): RedfishBmc => ({
  chassis: server,
  uuid: server.uuid,
  user: USER,
  password,
  delayMs: fault === 'dead' ? Infinity : fault === 'slow' ? SLOW_MS : 0,
})
