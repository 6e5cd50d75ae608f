/** What every way to speak IPMI must do, ipmitool and our own client alike: against ipmi_sim, and against our own BMC
 *  that also knows cipher suite 17. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Bmc } from '../../../conductor/bmc/controller.ts'
import { ipmiInfo } from '../../../conductor/bmc/info.ts'
import { Ipmitool } from '../../../conductor/bmc/ipmitool.ts'
import { NativeIpmi } from '../../../conductor/bmc/native-ipmi.ts'
import { PollLanes } from '../../../conductor/bmc/poll-lanes.ts'
import { BmcQueue } from '../../../conductor/bmc/queue.ts'
import { CipherSuites } from '../../../conductor/bmc/suites.ts'
import { monotonicClock, systemClock } from '../../../kit/clock.ts'
import { Fault } from '../../../kit/fault.ts'
import { systemRandom } from '../../../kit/random.ts'
import { run } from '../../../kit/run.ts'
import { RmcpBmc } from '../../fake/rmcp-bmc.ts'
import { startSim, type Sim } from '../../fake/sim.ts'

const signal = new AbortController().signal
const code = (promise: Promise<unknown>) =>
  promise.then(
    () => 'no fault',
    (error: unknown) => (error instanceof Fault ? error.code : String(error)),
  )

const suites = new CipherSuites({ clock: systemClock, key: Buffer.alloc(32) })
const native = {
  clock: systemClock,
  monotonic: monotonicClock,
  random: systemRandom,
  lanes: new PollLanes(8),
}
const ADAPTERS: Readonly<Record<string, (info: Record<string, unknown>) => Bmc>> = {
  // A shorter patience than the product's: a dead BMC is waited for.
  ipmitool: (info) => new Ipmitool(ipmiInfo(info), { run, suites, patience: ['-N', '1', '-R', '1'] }),
  native: (info) =>
    new NativeIpmi(ipmiInfo(info), { native, suites, rest: new Ipmitool(ipmiInfo(info), { run, suites }) }),
}
const adapters = Object.keys(ADAPTERS)
const bmcOf = (adapter: string, info: Record<string, unknown>) => (ADAPTERS[adapter] as (typeof ADAPTERS)[string])(info)

describe.each(adapters)('%s with ipmi_sim', (adapter) => {
  let sim: Sim
  const bmc = (info: Record<string, unknown> = {}) =>
    bmcOf(adapter, { ipmi_address: sim.address, ipmi_username: 'admin', ipmi_password: 'secret', ...info })
  beforeAll(async () => {
    sim = await startSim(40 + adapters.indexOf(adapter))
  })
  afterAll(() => sim.stop())

  test('powers on and off; asking for the state that it is in is no error; a poll reads the same', async () => {
    for (const to of ['on', 'on', 'off', 'off'] as const) {
      await bmc().setPower(to, signal)
      expect(await bmc().power(signal)).toBe(to)
      expect(await bmc().poll(signal)).toBe(to)
    }
  })
  test('asks the operating system to shut down, and resets; a machine that is off is switched on instead', async () => {
    const since = (await sim.calls()).length
    await bmc().reset(signal)
    await bmc().reset(signal)
    await bmc().setPower('soft-off', signal)
    const said = (await sim.calls()).slice(since).filter((line) => line.startsWith('set'))
    expect(said).toEqual(['set power 1', 'set reset 1', 'set shutdown 1'])
    // This BMC has no diagnostic interrupt, and says so.
    expect(await code(bmc().injectNmi(signal))).toBe('bmc.refused')
    await bmc().setPower('off', signal)
  })
  test('sets the boot device and reads it back', async () => {
    for (const device of ['pxe', 'disk'] as const) {
      await bmc().setBootDevice({ device, once: false, efi: true }, signal)
      expect((await bmc().bootDevice(signal)).device).toBe(device)
      expect((await readFile(join(sim.dir, 'boot'), 'utf8')).trim()).toBe(device === 'pxe' ? 'pxe' : 'default')
    }
  })
  test('tells a wrong password, an unknown user, a refused command and silence apart', async () => {
    expect(await code(bmc({ ipmi_password: 'wrong' }).power(signal))).toBe('bmc.password')
    expect(await code(bmc({ ipmi_username: 'nobody' }).power(signal))).toBe('bmc.password')
    expect(await code(bmc({ ipmi_priv_level: 'USER' }).setPower('on', signal))).toBe('bmc.refused')
    expect(await code(bmc({ ipmi_address: '127.0.0.97', ipmi_cipher_suite: 3 }).power(signal))).toBe('bmc.unreachable')
  })
  test('a BMC that takes the command and does nothing is found out', async () => {
    await writeFile(join(sim.dir, 'stuck'), '')
    const options = { priority: 'operator', timeoutMs: 2_500 } as const
    const target = { key: 'stuck', bmc: bmc() }
    expect(await code(new BmcQueue(systemClock).prove(target, 'on', options))).toMatch(/bmc\.(unproven|timeout)/)
    await run(['rm', join(sim.dir, 'stuck')], { timeoutMs: 30_000 })
  })
})

describe.each(adapters.flatMap((adapter) => [3, 17].map((suite) => [adapter, suite] as const)))(
  '%s with our own BMC and cipher suite %i',
  (adapter, suite) => {
    let server: RmcpBmc
    const bmc = (info: Record<string, unknown> = {}) =>
      bmcOf(adapter, server.driverInfo({ ipmi_cipher_suite: suite, ...info }))
    beforeAll(async () => {
      server = await RmcpBmc.start({ suites: [suite] })
    })
    afterAll(() => server.stop())

    test('power, boot device with its bits, and identity are the bytes of IPMI 2.0; no session is left', async () => {
      for (const to of ['on', 'off'] as const) {
        await bmc().setPower(to, signal)
        expect(await bmc().power(signal)).toBe(to)
      }
      server.heard.splice(0)
      await bmc().setBootDevice({ device: 'pxe', once: false, efi: true }, signal)
      expect(server.bootFlags).toEqual([0xe0, 0x04, 0, 0, 0])
      expect(server.commands()).toContain('0 8 3 8')
      expect(await bmc().bootDevice(signal)).toEqual({ device: 'pxe', persistent: true })
      await bmc().setBootDevice({ device: 'cdrom', once: true, efi: false }, signal)
      expect(server.bootFlags).toEqual([0x80, 0x14, 0, 0, 0])
      expect(await bmc().bootDevice(signal)).toEqual({ device: 'cdrom', persistent: false })
      expect(await bmc().systemUuid(signal)).toBe('07c0ab89-6745-23a1-efcd-ab89674523a1')
      expect(server.sessions.size).toBe(0)
    })

    test('a BMC without the parameter that keeps the choice, and one that is "off" already', async () => {
      server.refuses = ({ command, data }) => (command === 8 && data[0] === 3 ? 0x80 : undefined)
      await bmc().setBootDevice({ device: 'disk', once: false, efi: null }, signal)
      expect(server.bootFlags).toEqual([0xc0, 0x08, 0, 0, 0])
      server.refuses = ({ netFn, command }) => (netFn === 0 && command === 2 ? 0xd5 : undefined)
      await bmc().setPower('off', signal)
      server.refuses = ({ netFn, command }) => (netFn === 0 && command === 2 ? 0xcc : undefined)
      expect(await code(bmc().setPower('off', signal))).toBe('bmc.refused')
      server.refuses = () => undefined
      expect(server.sessions.size).toBe(0)
    })

    test('a wrong password, an unknown user, and a privilege level that the user has not', async () => {
      expect(await code(bmc({ ipmi_password: 'wrong' }).power(signal))).toBe('bmc.password')
      expect(await code(bmc({ ipmi_username: 'nobody' }).power(signal))).toBe('bmc.password')
      server.refuses = ({ netFn, command }) => (netFn === 6 && command === 0x3b ? 0x81 : undefined)
      expect(await code(bmc().power(signal))).toBe('bmc.refused')
      server.refuses = () => undefined
    })
  },
)

describe.each(adapters)('%s', (adapter) => {
  test('a K_g of the BMC', async () => {
    const kg = Buffer.from('0123456789abcdef0123')
    const server = await RmcpBmc.start({ kg })
    const more = { ipmi_cipher_suite: 17, ipmi_hex_kg_key: kg.toString('hex') }
    expect(await bmcOf(adapter, server.driverInfo(more)).power(signal)).toBe('off')
    await server.stop()
  })
})
