/** Servers of several architectures: each gets the ramdisk of its own, by its record or by what its firmware says, and
 *  none gets that of another. */
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { BootCounters } from '../../conductor/boot/counters.ts'
import { bootOrder, type Doors } from '../../conductor/boot/doors.ts'
import { BootEvents } from '../../conductor/boot/events.ts'
import { Observer } from '../../conductor/boot/observe.ts'
import type { BootClient } from '../../conductor/boot/orders.ts'
import { servedFile } from '../../conductor/boot/render.ts'
import { agentIdentity } from '../../conductor/agents/certificate.ts'
import { bootFingerprint } from '../../conductor/boot/service.ts'
import { BootWatch } from '../../conductor/boot/watch.ts'
import { readLines, writeLine, type BootEvent, type ToBoot } from '../../conductor/boot/wire.ts'
import { Config } from '../../conductor/config.ts'
import { startConductor, type Conductor } from '../../conductor/conductor.ts'
import { Sightings } from '../../conductor/node/query/sightings.ts'
import { saidOf } from '../../conductor/node/policy/architecture.ts'
import { until } from '../../kit/clock.ts'
import { silentLog } from '../../kit/log.ts'
import { ARM64_LOADER, LOADERS } from '../../pxe/firmware.ts'
import type { BootOrder } from '../../pxe/script.ts'
import { bench, mac, packet, pxe, request } from '../pxe/dhcp-bench.ts'
import { obedientIpmitool } from '../fake/ipmitool.ts'
import { client as plainClient, noLoaders } from './boot-clients.ts'
import { call } from './client.ts'

const ORDER = { kind: 'ramdisk', generation: 1, rescue: false, token: true } as const
const ARM = { kernel: '/arm/kernel', initrd: '/arm/initrd' }
const configOf = (more: object = {}) =>
  Config.parse({
    data: '/nowhere',
    images: { store: '/nowhere/images' },
    api: { auth: { strategy: 'noauth' } },
    agent: { address: '10.0.0.1', port: 6386 },
    boot: {
      interfaces: [],
      http: { address: '10.0.0.1', port: 8080 },
      tftp: '10.0.0.1',
      subnets: [],
      kernel: '/x86/kernel',
      initrd: '/x86/initrd',
      rescueInitrd: '/x86/rescue',
      ...more,
    },
  }) as unknown as Config & Doors['config']

/** The firmware of a client asks for an address, and then its loader for what to boot. */
function boots(client: Partial<BootClient>, more: object, arch?: number) {
  const dhcp = bench({}, { loaders: [...LOADERS, ARM64_LOADER] })
  const told: BootEvent[] = []
  const emit = (event: BootEvent) => void told.push(event)
  const events = new BootEvents({ perSecond: 100, clock: dhcp.clock, log: silentLog, emit })
  const known: BootClient = { ...plainClient(mac(1)), order: ORDER, ...client }
  const parts = { counters: new BootCounters(), leases: dhcp.leases, loaders: noLoaders, client: () => known }
  const observer = new Observer({ ...parts, events })
  if (arch !== undefined) {
    const ip = dhcp.ask(packet(1, 'discover', pxe(arch)))?.packet.yiaddr ?? ''
    dhcp.ask({ ...request(1, ip), options: new Map([...request(1, ip).options, ...pxe(arch)]) })
    for (const event of dhcp.events.splice(0)) observer.onDhcp(event)
  }
  const doors = { config: configOf(more), pin: 'ab', tokenKey: Buffer.alloc(32), observer } as unknown as Doors
  const order = bootOrder(doors, known, { ip: '10.0.0.20', mintedMs: 1 })
  return { order, troubles: told.flatMap((one) => (one.kind === 'trouble' ? [one.what] : [])), told }
}
const kernelOf = (order: BootOrder) => (order.kind === 'kernel' ? new URL(order.kernelUrl).pathname : order.kind)

describe('the ramdisk', () => {
  const both = { ramdisks: { aarch64: ARM } }
  test.each([
    ['of the record', { architecture: 'aarch64' }, undefined, '/ramdisk/aarch64/kernel'],
    ['of the record, whatever was seen once', { architecture: 'x86_64', firmware: 'x86_64' }, 7, '/ramdisk/kernel'],
    ['that the firmware says now', {}, 11, '/ramdisk/aarch64/kernel'],
    ['that the firmware says now, not before', { firmware: 'aarch64' }, 7, '/ramdisk/kernel'],
    ['that the firmware said before', { firmware: 'aarch64' }, undefined, '/ramdisk/aarch64/kernel'],
    ['that is configured first, where nothing is known', {}, undefined, '/ramdisk/kernel'],
  ] as const)('is the one %s', (_, client, arch, path) => {
    const { order, troubles } = boots(client, both, arch)
    expect([kernelOf(order), troubles]).toEqual([path, []])
  })

  test('for arm64 has the serial console that is usual there', () => {
    const { order } = boots({ architecture: 'aarch64' }, both)
    const args = order.kind === 'kernel' ? order.args : []
    expect(args).toContain('console=ttyAMA0,115200n8')
    expect(args.join(' ')).not.toContain('ttyS0')
  })

  test('is none where the firmware contradicts the record, and an event says which key is wrong', () => {
    const { order, troubles } = boots({ architecture: 'x86_64' }, both, 11)
    expect(order.kind).toBe('nothing')
    expect(troubles).toEqual([expect.stringMatching(/firmware says aarch64 and properties\/cpu_arch x86_64: correct/)])
  })

  test('is none where there is none of that architecture, and an event names the key', () => {
    const { order, troubles, told } = boots({}, {}, 11)
    expect(order.kind).toBe('nothing')
    expect(troubles).toEqual([expect.stringMatching(/no ramdisk for aarch64: boot\.ramdisks\.aarch64/)])
    expect(told).toContainEqual(
      expect.objectContaining({
        kind: 'sign',
        sign: 'no-ramdisk',
        detail: expect.stringMatching(/no ramdisk for aarch64/),
      }),
    )
  })

  test('is served by its path alone', () => {
    const config = configOf({ ramdisks: { aarch64: ARM } })
    expect(
      ['/ramdisk/kernel', '/ramdisk/rescue', '/ramdisk/aarch64/kernel', '/ramdisk/aarch64/initrd'].map((path) =>
        servedFile(path, config),
      ),
    ).toEqual(['/x86/kernel', '/x86/rescue', '/arm/kernel', '/arm/initrd'])
    for (const path of [
      '/ramdisk/aarch64/rescue',
      '/ramdisk/x86_64/kernel',
      '/ramdisk/aarch64/constructor',
      '/ramdisk/',
    ])
      expect(servedFile(path, config)).toBeUndefined()
  })

  test('of a site whose first ramdisk is for arm64 is that one', () => {
    const more = { architecture: 'aarch64', ramdisks: { x86_64: ARM } }
    expect(kernelOf(boots({}, more, 11).order)).toBe('/ramdisk/kernel')
    expect(kernelOf(boots({}, more, 7).order)).toBe('/ramdisk/x86_64/kernel')
  })
})

describe('the conductor', () => {
  let dir = ''
  let conductor: Conductor | undefined
  let services: Server | undefined
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'rackward-architectures-'))
  })
  afterEach(async () => {
    await conductor?.stop()
    conductor = undefined
    services?.close()
    await rm(dir, { recursive: true, force: true })
  })

  test('keeps what the firmware said, for the next boot', () => {
    const { told } = boots({ nodeUuid: 'n' }, {}, 11)
    const noted: unknown[] = []
    const notePort = async (...seen: unknown[]) => void noted.push(seen)
    const watch = new BootWatch({
      store: { learnPortIp: async () => undefined, notePort } as never,
      sightings: new Sightings(),
      queue: { add: () => undefined },
    })
    for (const event of [...told, ...told]) watch.onEvent(event)
    // A server asks many times, and is written down once.
    expect(noted).toEqual([[mac(1), 'firmware', { architecture: 'aarch64', atMs: expect.any(Number) }]])
    // The records of a server that is enrolled anew hold nothing of it.
    for (const event of told) watch.onEvent({ ...event, nodeUuid: 'again' } as typeof event)
    expect(noted).toHaveLength(2)
    const sighting = { portUuid: 'p', kind: 'firmware', saw: { architecture: 'aarch64', atMs: 1 } } as const
    expect(saidOf({ properties: {} }, [sighting])).toEqual({ recorded: null, firmware: 'aarch64' })
    expect(saidOf({ properties: { cpu_arch: 'amd64' } }, [sighting]).recorded).toBe('x86_64')
  })

  test('refuses with the request what would boot a server without a ramdisk of its architecture', async () => {
    const config = {
      ...configOf(),
      data: dir,
      images: { ...configOf().images, store: join(dir, 'images') },
      agent: { address: '127.0.0.1', port: 0 },
      api: { listen: [{ address: '127.0.0.1', port: 0 }], auth: { strategy: 'noauth' as const, hosts: [] } },
    }
    const { pin } = await agentIdentity(dir)
    services = createServer((socket) => {
      socket.on('error', () => undefined)
      writeLine(socket, { t: 'hello', fingerprint: bootFingerprint(config, pin), pid: 1 })
      readLines<ToBoot>(socket, (message) => {
        if (message.t === 'clients') writeLine(socket, { t: 'have', revision: message.revision })
      })
    })
    const launchBoot = () => {
      services?.listen(join(dir, 'boot.sock'))
      return { running: () => true }
    }
    conductor = await startConductor(config, {
      log: silentLog,
      run: obedientIpmitool(() => undefined),
      fleet: null,
      launchBoot,
    })
    const api = (method: string, path: string, body?: unknown) =>
      call(method, path, body, { 'openstack-api-version': 'baremetal latest' }, conductor?.addresses[0] as string)
    const driver_info = { ipmi_address: '192.0.2.1', ipmi_username: 'u', ipmi_password: 'p' }
    const made = await api('POST', '/v1/nodes', {
      name: 'n1',
      driver: 'ipmi',
      driver_info,
      properties: { cpu_arch: 'aarch64' },
    })
    await api('POST', '/v1/ports', { node_uuid: made.body.uuid, address: '02:00:00:00:00:01' })
    await api('PUT', '/v1/nodes/n1/states/provision', { target: 'manage' })
    await until(async () => (await api('GET', '/v1/nodes/n1')).body.provision_state === 'manageable', {
      what: 'the BMC to be checked',
      timeoutMs: 20_000,
    })
    const words = 'there is no ramdisk for aarch64: boot.ramdisks.aarch64 is not configured'
    expect((await api('GET', '/v1/nodes/n1/validate')).body.boot).toEqual({
      result: false,
      reason: expect.stringContaining(words),
    })
    const refused = await api('PUT', '/v1/nodes/n1/states/provision', { target: 'inspect' })
    expect([refused.status, JSON.stringify(refused.body)]).toEqual([400, expect.stringContaining(words)])
    expect((await api('GET', '/v1/nodes/n1')).body.provision_state).toBe('manageable')
  })
})
