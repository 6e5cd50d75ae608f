/** A conductor with one node behind a virtual BMC, for tests of what an operator orders and sees. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Config } from '../../conductor/config.ts'
import { startConductor, type Conductor, type ConductorParts } from '../../conductor/conductor.ts'
import { until } from '../../kit/clock.ts'
import { silentLog } from '../../kit/log.ts'
import { call } from '../conductor/client.ts'
import type { FaultName } from './faults.ts'
import { SimulatedMachine } from './machine.ts'
import { VirtualBmc, type BmcOptions } from './virtual-bmc.ts'

const LATEST = { 'openstack-api-version': 'baremetal latest' }

export interface RigOptions {
  readonly faults?: readonly FaultName[]
  readonly driver?: string
  readonly bmc?: Partial<BmcOptions<SimulatedMachine>>
  readonly config?: Readonly<Record<string, unknown>>
  readonly node?: Readonly<Record<string, unknown>>
}

export class Rig {
  readonly bmc: VirtualBmc<SimulatedMachine>
  private readonly data: string
  private readonly config: Readonly<Record<string, unknown>>
  private conductor: Conductor | undefined

  private constructor(bmc: VirtualBmc<SimulatedMachine>, data: string, config: Readonly<Record<string, unknown>>) {
    this.bmc = bmc
    this.data = data
    this.config = config
  }

  /** The node is enrolled, and manageable. */
  static async open({
    faults = [],
    driver = 'redfish',
    bmc = {},
    config = {},
    node = {},
  }: RigOptions = {}): Promise<Rig> {
    const data = await mkdtemp(join(tmpdir(), 'rackward-redfish-'))
    const rig = new Rig(await VirtualBmc.open({ machine: new SimulatedMachine(), faults, ...bmc }), data, config)
    await rig.start()
    const made = await rig.api('POST', '/v1/nodes', { name: 'r1', driver, driver_info: rig.bmc.driverInfo(), ...node })
    if (made.status !== 201) throw new Error(JSON.stringify(made.body))
    await rig.api('PUT', '/v1/nodes/r1/states/provision', { target: 'manage' })
    await rig.becomes('manageable')
    return rig
  }

  /** Where its API listens. */
  get address(): string {
    return this.conductor?.addresses[0] ?? 'http://127.0.0.1:1'
  }

  async start(parts: Pick<ConductorParts, 'makePerformer'> = {}): Promise<void> {
    const config = Config.parse({
      data: this.data,
      images: { store: join(this.data, 'images') },
      api: { listen: [{ address: '127.0.0.1', port: 0 }], auth: { strategy: 'noauth' } },
      provision: { bmcLookSeconds: 0.2 },
      powerSync: { everySeconds: 1 },
      ...this.config,
    })
    this.conductor = await startConductor(config, { log: silentLog, ...parts })
  }

  async stopConductor(): Promise<void> {
    await this.conductor?.stop()
    this.conductor = undefined
  }

  async close(): Promise<void> {
    await this.stopConductor()
    await this.bmc.stop()
    await rm(this.data, { recursive: true, force: true })
  }

  api = (method: string, path: string, body?: unknown) => call(method, path, body, LATEST, this.address)

  /** Every BMC is asked, as at its time. */
  poll = async (): Promise<void> => void (await this.conductor?.powerSync.pass())

  /** The value of a series of /metrics. */
  async metric(series: string): Promise<number | undefined> {
    const text = await (await fetch(`${this.address}/metrics`)).text()
    const line = text.split('\n').find((one) => one.startsWith(`${series} `))
    return line === undefined ? undefined : Number(line.slice(series.length))
  }

  node = async (): Promise<Record<string, unknown>> => (await this.api('GET', '/v1/nodes/r1')).body

  /** Throws when the node ends in another state that waits for a person. */
  async becomes(state: string): Promise<Record<string, unknown>> {
    return until(
      async () => {
        const now = await this.node()
        if (now.provision_state === state && now.reservation === null) return now
        if (String(now.provision_state).endsWith('failed'))
          throw new Error(`${String(now.provision_state)}: ${String(now.last_error)}`)
        return undefined
      },
      { what: `state ${state}`, timeoutMs: 30_000, everyMs: 50 },
    )
  }

  /** Until something is so. */
  until = <T>(what: string, found: () => Promise<T | undefined | false>): Promise<T> =>
    until(found, { what, timeoutMs: 30_000, everyMs: 50 })

  clean = (steps: readonly unknown[]) =>
    this.api('PUT', '/v1/nodes/r1/states/provision', { target: 'clean', clean_steps: steps })

  /** Carries the steps out, and answers the node as it is then, well or failed. */
  async cleaned(steps: readonly unknown[]): Promise<Record<string, unknown>> {
    const answer = await this.clean(steps)
    if (answer.status !== 202) throw new Error(JSON.stringify(answer.body))
    return this.until('the end of the steps', async () => {
      const now = await this.node()
      return ['manageable', 'clean failed'].includes(String(now.provision_state)) && now.reservation === null
        ? now
        : undefined
    })
  }
}
