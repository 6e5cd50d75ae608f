/** What driver_info makes of a command line of ipmitool, which cipher suites are used, and what of a BMC's own words is
 *  kept. */
import { describe, expect, test } from 'vitest'
import { ipmiInfo } from '../../conductor/bmc/info.ts'
import { Ipmitool } from '../../conductor/bmc/ipmitool.ts'
import { Ipmipower } from '../../conductor/bmc/ipmipower.ts'
import { BmcRegistry } from '../../conductor/bmc/registry.ts'
import { CipherSuites } from '../../conductor/bmc/suites.ts'
import { systemClock } from '../../kit/clock.ts'
import type { Run, RunResult } from '../../kit/run.ts'
import { powerModel } from '../fake/ipmipower.ts'

const signal = new AbortController().signal
const good = { ipmi_address: '10.0.0.1', ipmi_username: 'u', ipmi_password: 'p' }
const suitesOf = () => new CipherSuites({ clock: systemClock, key: Buffer.alloc(32) })
const configFault = (key: string) =>
  expect.objectContaining({
    code: 'bmc.config',
    detail: expect.stringContaining(`driver_info/${key}`) as string,
  }) as Error

/** An ipmitool that answers by what it is asked. */
function fakeTool(answer: (argv: readonly string[]) => Partial<RunResult>) {
  const argvs: (readonly string[])[] = []
  const run: Run = async (argv) => {
    argvs.push(argv)
    return { code: 0, stdout: '', stderr: '', ...answer(argv) }
  }
  return { argvs, run, suites: () => argvs.map((argv) => argv[argv.indexOf('-C') + 1]) }
}
const on = { stdout: 'Chassis Power is on\n' }
const fault = (promise: Promise<unknown>): Promise<{ code: string; message: string }> =>
  promise.then(
    () => Promise.reject(new Error('it was carried out')),
    (error: unknown) => error as { code: string; message: string },
  )

describe('cipher suite 0, which neither checks the password nor encrypts', () => {
  test.each([0, '0', '00'])('%j is refused in driver_info, before anything is run', (suite) => {
    const { run, argvs } = fakeTool(() => on)
    const bmcs = new BmcRegistry({ run, suites: suitesOf() })
    const node = { uuid: 'n', driver: 'ipmi', driverInfo: { ...good, ipmi_cipher_suite: suite } }
    expect(() => bmcs.target(node)).toThrow(configFault('ipmi_cipher_suite'))
    expect(argvs).toEqual([])
  })

  test('a BMC that takes nothing else is refused: it is no fallback, neither of ipmitool nor of ipmipower', async () => {
    const { run, suites } = fakeTool((argv) =>
      argv[argv.indexOf('-C') + 1] === '0'
        ? on
        : { code: 1, stderr: 'Error in open session response message : no matching cipher suite\n' },
    )
    const bmc = new Ipmitool(ipmiInfo(good), { run, suites: suitesOf() })
    expect(await fault(bmc.power(signal))).toMatchObject({ code: 'bmc.refused' })
    expect(await fault(bmc.setPower('on', signal))).toMatchObject({ code: 'bmc.refused' })
    expect(suites()).toEqual(['17', '17', '17', '3', '17', '17', '17', '3'])

    const fleet = powerModel({ clock: systemClock, rttMs: 1, passwords: new Map([['10.0.0.1', 'p']]), suites: [0] })
    const poller = new Ipmipower({
      launch: fleet.launch,
      clock: systemClock,
      suites: suitesOf(),
      children: 1,
      perRound: 10,
    })
    expect(await fault(poller.power(ipmiInfo(good)))).toMatchObject({ code: 'bmc.refused' })
    expect(fleet.asked.map(({ suite }) => suite)).toEqual([17, 17, 17, 3])
    poller.stop()
  })

  test('where the configuration allows it, it is used for the node that chose it alone', async () => {
    const { run, suites } = fakeTool(() => on)
    const bmcs = new BmcRegistry({ run, suites: suitesOf(), allowCipherSuite0: true })
    const power = (more: Record<string, unknown>) =>
      bmcs.target({ uuid: 'n', driver: 'ipmi', driverInfo: { ...good, ...more } }).bmc.power(signal)
    await power({ ipmi_cipher_suite: 0 })
    await power({})
    expect(suites()).toEqual(['0', '17'])
  })
})

describe('the key K_g of ipmitool', () => {
  const power = async (kg: string) => {
    const environments: (Readonly<Record<string, string>> | undefined)[] = []
    const run: Run = async (_, options) => {
      environments.push(options?.env)
      return { code: 0, stderr: '', ...on }
    }
    await new Ipmitool(ipmiInfo({ ...good, ipmi_hex_kg_key: kg }), { run, suites: suitesOf() }).power(signal)
    return environments.map((env) => env?.IPMI_KGKEY)
  }
  const padded = (text: string) => Buffer.from(text).toString('hex').padEnd(40, '0')

  test('is handed over as text, without the zeros that fill it', async () => {
    expect(await power(padded('abc~'))).toEqual(['abc~'])
  })

  test.each(['80'.padEnd(40, '0'), `61${'00'.repeat(18)}61`, 'ff'.repeat(20)])(
    '%s cannot be, and is refused before anything is sent',
    async (kg) => {
      await expect(power(kg)).rejects.toEqual(configFault('ipmi_hex_kg_key'))
    },
  )
})

describe('a blade behind another controller', () => {
  const single = {
    ...good,
    ipmi_bridging: 'single',
    ipmi_local_address: '0x20',
    ipmi_target_channel: 7,
    ipmi_target_address: '0x82',
  }
  const dual = { ...single, ipmi_bridging: 'dual', ipmi_transit_channel: '0', ipmi_transit_address: '0x24' }
  test.each([
    ['no', { ...single, ipmi_bridging: 'no' }, []],
    ['single', single, ['-m', '0x20', '-b', '7', '-t', '0x82']],
    ['dual', dual, ['-m', '0x20', '-B', '0', '-T', '0x24', '-b', '7', '-t', '0x82']],
  ])('%s: its options stand before the command', async (_, info, options) => {
    const { run, argvs } = fakeTool(() => on)
    await new Ipmitool(ipmiInfo(info), { run, suites: suitesOf() }).power(signal)
    const argv = argvs[0] as readonly string[]
    expect(argv.slice(argv.indexOf('-E') + 1, argv.indexOf('-v'))).toEqual(options)
    expect(argv.slice(-2)).toEqual(['power', 'status'])
  })

  const HOSTILE = [
    '-f/etc/passwd',
    '0x82 -f /etc/passwd',
    '0x82\n',
    ' 7',
    '1000',
    '0x100',
    '$(id)',
    '',
    ['7'],
    { a: 1 },
  ]
  test.each(
    [
      'ipmi_local_address',
      'ipmi_target_channel',
      'ipmi_target_address',
      'ipmi_transit_channel',
      'ipmi_transit_address',
    ].flatMap((key) => HOSTILE.map((value) => [key, value] as const)),
  )('%s %j is refused', (key, value) => {
    expect(() => ipmiInfo({ ...dual, [key]: value })).toThrow(configFault(key))
  })

  test.each(['ipmi_target_channel', 'ipmi_target_address', 'ipmi_transit_channel', 'ipmi_transit_address'])(
    'dual without %s is refused',
    (key) => {
      expect(() => ipmiInfo({ ...dual, [key]: undefined })).toThrow(configFault(key))
    },
  )

  test.each(['triple', '__proto__', 'constructor', 7, ['dual']])('ipmi_bridging %j is refused', (kind) => {
    expect(() => ipmiInfo({ ...dual, ipmi_bridging: kind })).toThrow(configFault('ipmi_bridging'))
  })

  test('is never polled by ipmipower, which knows no bridges', () => {
    const fleet = powerModel({ clock: systemClock, rttMs: 1, passwords: new Map() })
    const poller = new Ipmipower({
      launch: fleet.launch,
      clock: systemClock,
      suites: suitesOf(),
      children: 1,
      perRound: 10,
    })
    expect([poller.pollable(ipmiInfo(good)), poller.pollable(ipmiInfo(single))]).toEqual([true, false])
    poller.stop()
  })
})

describe('what a BMC says', () => {
  const ESC = '\u001b'
  const HOSTILE = `${ESC}]0;owned\u0007${ESC}[2J\u009b31m\u202e\r${'x'.repeat(100_000)}`
  test.each([
    ['to a refused command', { code: 1, stderr: `insufficient privilege ${HOSTILE}\n` }],
    ['to a failed command', { code: 1, stderr: `Error: ${HOSTILE}\n` }],
    ['as a power state', { stdout: `Chassis Power is ${HOSTILE}` }],
  ])('%s is one line of bounded length, without control characters', async (_, answer) => {
    const { run } = fakeTool(() => answer)
    const { message } = await fault(new Ipmitool(ipmiInfo(good), { run, suites: suitesOf() }).power(signal))
    expect(message).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u)
    expect(message).toContain('x'.repeat(50))
    expect(message.length).toBeLessThan(500)
  })
})
