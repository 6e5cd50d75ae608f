/** Power through the real ipmitool and a real IPMI LAN server; the queue per BMC with a clock of its own. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { BmcQueue } from '../../conductor/bmc/queue.ts'
import { FakeBmc } from '../../conductor/bmc/fake.ts'
import { ipmiInfo } from '../../conductor/bmc/info.ts'
import { bootFlags, Ipmitool, parseBootFlags } from '../../conductor/bmc/ipmitool.ts'
import { CipherSuites } from '../../conductor/bmc/suites.ts'
import type { Bmc } from '../../conductor/bmc/controller.ts'
import { systemClock, until } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'
import { run, type Run } from '../../kit/run.ts'
import { startSim, type Sim } from '../fake/sim.ts'

const signal = new AbortController().signal
const options = { priority: 'operator', timeoutMs: 10_000 } as const

describe('ipmitool against a real IPMI LAN server', () => {
  let sim: Sim
  const argvs: (readonly string[])[] = []
  const spying: Run = (argv, given) => {
    argvs.push(argv)
    return run(argv, given)
  }
  const suites = new CipherSuites({ clock: systemClock, key: Buffer.alloc(32) })
  const bmc = (info: Record<string, unknown> = {}): Bmc =>
    new Ipmitool(ipmiInfo({ ipmi_address: sim.address, ipmi_username: 'admin', ipmi_password: 'secret', ...info }), {
      run: spying,
      suites,
    })
  beforeAll(async () => {
    sim = await startSim(1)
  })
  afterAll(() => sim.stop())
  test('finds cipher suite 3 after 17 was refused three times, and remembers it', async () => {
    expect(await bmc().power(signal)).toBe('off')
    expect(argvs.map((argv) => argv[argv.indexOf('-C') + 1])).toEqual(['17', '17', '17', '3'])
    await bmc().power(signal)
    expect(argvs.map((argv) => argv[argv.indexOf('-C') + 1])).toEqual(['17', '17', '17', '3', '3'])
  })
  test('never puts the password into an argument', () => expect(argvs.flat().join(' ')).not.toContain('secret'))
})

describe('driver_info', () => {
  const good = { ipmi_address: 'bmc-1.example', ipmi_username: 'u', ipmi_password: 'p' }
  test.each([
    [{}, 'ipmi_address'],
    [{ ...good, ipmi_address: '-oProxy' }, 'ipmi_address'],
    [{ ...good, ipmi_port: 70000 }, 'ipmi_port'],
    [{ ...good, ipmi_password: 'x'.repeat(21) }, 'ipmi_password'],
    [{ ...good, ipmi_username: '-E' }, 'ipmi_username'],
    [{ ...good, ipmi_priv_level: 'ROOT' }, 'ipmi_priv_level'],
    [{ ...good, ipmi_hex_kg_key: 'zz' }, 'ipmi_hex_kg_key'],
  ])('%j names %s', (info, key) => {
    expect(() => ipmiInfo(info)).toThrow(
      expect.objectContaining({
        code: 'bmc.config',
        detail: expect.stringContaining(`driver_info/${key}`) as string,
      }) as Error,
    )
  })
})

test('boot flags: valid, persistent and EFI bits, device in bits 5 to 2 (IPMI 2.0 table 28-14)', () => {
  expect(bootFlags({ device: 'pxe', once: true, efi: false }).slice(3, 5)).toEqual(['0x80', '0x04'])
  expect(bootFlags({ device: 'disk', once: false, efi: true }).slice(3, 5)).toEqual(['0xe0', '0x08'])
  expect(parseBootFlags(' 01 05 e0 08 00 00 00')).toEqual({ device: 'disk', persistent: true })
  expect(parseBootFlags('rubbish')).toEqual({ device: null, persistent: null })
})

describe('the queue of a BMC', () => {
  const bmc = new FakeBmc()
  test('does one thing at a time on one BMC, fence before operator before deploy before poll', async () => {
    const bmcQueue = new BmcQueue(systemClock)
    const order: string[] = []
    let running = 0
    const command = (priority: 'fence' | 'operator' | 'deploy' | 'poll') =>
      bmcQueue.run({ key: 'a', bmc }, { priority, timeoutMs: 5000 }, async () => {
        expect((running += 1)).toBe(1)
        order.push(priority)
        await systemClock.sleep(5)
        running -= 1
      })
    await Promise.all([command('poll'), command('deploy'), command('poll'), command('operator'), command('fence')])
    expect(order).toEqual(['poll', 'fence', 'operator', 'deploy', 'poll'])
  })
  test('one BMC that hangs delays no other, and its waiting commands end at their deadline without ever beginning', async () => {
    const bmcQueue = new BmcQueue(systemClock)
    let began = 0
    const hang = bmcQueue.run(
      { key: 'dead', bmc },
      { priority: 'deploy', timeoutMs: 200 },
      (_, abort) =>
        new Promise((_resolve, reject) => abort.addEventListener('abort', () => reject(abort.reason as Error))),
    )
    const behind = bmcQueue.run({ key: 'dead', bmc }, { priority: 'poll', timeoutMs: 100 }, async () => {
      began += 1
    })
    const verdicts = Promise.allSettled([hang, behind])
    await bmcQueue.run({ key: 'alive', bmc }, options, (live, abort) => live.power(abort))
    expect((await verdicts).map((verdict) => verdict.status)).toEqual(['rejected', 'rejected'])
    await until(() => true, { what: 'a turn', timeoutMs: 10 })
    expect(began).toBe(0)
  })
  test('after a wrong password it polls no more for a while, but an operator may try', async () => {
    const bmcQueue = new BmcQueue(systemClock)
    const target = { key: 'p', bmc }
    const wrong = () => Promise.reject(new Fault('bmc.password', 'no'))
    await expect(bmcQueue.run(target, { ...options, priority: 'poll' }, wrong)).rejects.toMatchObject({
      code: 'bmc.password',
    })
    let polled = false
    await expect(
      bmcQueue.run(target, { ...options, priority: 'poll' }, async () => {
        polled = true
      }),
    ).rejects.toMatchObject({ code: 'bmc.password' })
    expect(polled).toBe(false)
    await bmcQueue.run(target, options, async () => undefined)
    await bmcQueue.run(target, { ...options, priority: 'poll' }, async () => {
      polled = true
    })
    expect(polled).toBe(true)
  })
})
