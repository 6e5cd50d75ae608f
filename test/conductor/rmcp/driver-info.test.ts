/** Each field of driver_info that ipmitool is given: our own client honours it, or leaves the node to ipmitool. */
import { afterEach, describe, expect, test } from 'vitest'
import type { IpmiInfo } from '../../../conductor/bmc/controller.ts'
import { NativeIpmi } from '../../../conductor/bmc/native-ipmi.ts'
import { PollLanes } from '../../../conductor/bmc/poll-lanes.ts'
import { BmcRegistry } from '../../../conductor/bmc/registry.ts'
import { CipherSuites } from '../../../conductor/bmc/suites.ts'
import { monotonicClock, systemClock } from '../../../kit/clock.ts'
import { Fault } from '../../../kit/fault.ts'
import { systemRandom } from '../../../kit/random.ts'
import { RmcpBmc, type RmcpBmcOptions } from '../../fake/rmcp-bmc.ts'

const signal = new AbortController().signal
const native = { clock: systemClock, monotonic: monotonicClock, random: systemRandom, lanes: new PollLanes(1) }
const bmcOf = (driverInfo: Record<string, unknown>) =>
  new BmcRegistry({
    run: (argv) => Promise.reject(new Fault('run.missing', `${argv[0]} is not here`)),
    suites: new CipherSuites({ clock: systemClock, key: Buffer.alloc(32) }),
    native,
    allowCipherSuite0: true,
  }).target({ uuid: 'n', driver: 'ipmi', driverInfo }).bmc

interface Row {
  readonly driverInfo?: Record<string, unknown>
  /** A BMC with which nothing else works. Absent: ipmitool has the node. */
  readonly bmc?: RmcpBmcOptions
  /** Set Session Privilege Level. */
  readonly level?: number | null
}

const kg = Buffer.from('00112233445566778899aabbccddeeff01234567', 'hex')
const BLADE = { ipmi_target_channel: 7, ipmi_target_address: '0x82' }
/** By what ipmitool is given: a new field does not compile without its rows. */
const ROWS: Readonly<Record<keyof Required<IpmiInfo>, readonly Row[]>> = {
  address: [{ bmc: { address: '127.0.0.3' } }, { bmc: { address: '::1' } }],
  port: [{ bmc: { port: 0 } }],
  username: [
    { bmc: { user: 'sixteen-bytes-ok' } },
    { bmc: { user: 'größer' } },
    { driverInfo: { ipmi_username: undefined }, bmc: { user: '' } },
  ],
  password: [
    { bmc: { password: 'x'.repeat(16) } },
    { bmc: { password: 'sixteen and 4 bytes!' } },
    { bmc: { password: 'pässword 1' } },
    { driverInfo: { ipmi_password: undefined }, bmc: { password: '' } },
  ],
  privilege: [
    { bmc: {}, level: 4 },
    { driverInfo: { ipmi_priv_level: 'operator' }, bmc: { privilege: 3 }, level: 3 },
    { driverInfo: { ipmi_priv_level: 'USER' }, bmc: { privilege: 2 }, level: null },
    { driverInfo: { ipmi_priv_level: 'CALLBACK' }, bmc: { privilege: 1 }, level: null },
  ],
  cipherSuite: [
    { driverInfo: { ipmi_cipher_suite: 3 }, bmc: { suites: [3] } },
    { driverInfo: { ipmi_cipher_suite: '17' }, bmc: { suites: [17] } },
    ...[0, 1, 2, 8, 12, 15, 16].map((suite) => ({ driverInfo: { ipmi_cipher_suite: suite } })),
  ],
  kgKeyHex: [
    { driverInfo: { ipmi_hex_kg_key: kg.toString('hex') }, bmc: { kg } },
    // BMCs are delivered with it: the password takes its place.
    { driverInfo: { ipmi_hex_kg_key: '0'.repeat(40) }, bmc: {} },
  ],
  bridge: [
    { driverInfo: { ipmi_bridging: 'single', ...BLADE } },
    { driverInfo: { ipmi_bridging: 'dual', ...BLADE, ipmi_transit_channel: 0, ipmi_transit_address: 0x20 } },
    { driverInfo: { ipmi_bridging: 'no', ...BLADE }, bmc: {} },
  ],
  node: [{ bmc: {} }],
}

const servers: RmcpBmc[] = []
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop()
})

describe.each(Object.entries(ROWS))('%s', (_field, rows) => {
  test.each(rows)('%j', async ({ driverInfo = {}, bmc: options, level }) => {
    if (!options) {
      const bmc = bmcOf({ ipmi_address: '127.0.0.1', ipmi_username: 'u', ipmi_password: 'p', ...driverInfo })
      expect(bmc).not.toBeInstanceOf(NativeIpmi)
      await expect(bmc.power(signal)).rejects.toMatchObject({ code: 'run.missing' })
      return
    }
    const server = await RmcpBmc.start(options)
    servers.push(server)
    const bmc = bmcOf(server.driverInfo(driverInfo))
    expect(bmc).toBeInstanceOf(NativeIpmi)
    expect(await bmc.power(signal)).toBe('off')
    const asked = server.commands().find((text) => text.startsWith('6 3b')) ?? null
    if (level !== undefined) expect(asked).toBe(level === null ? null : `6 3b ${level}`)
    expect(server.sessions.size).toBe(0)
  })
})
