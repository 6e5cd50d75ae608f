/** The Redfish client against a virtual BMC: power, boot override, identity, sessions, the key of the certificate; and
 *  what each field fault ends in. */
import { afterAll, afterEach, expect, test } from 'vitest'
import { systemClock, type Clock } from '../../kit/clock.ts'
import { Fault, isFault, type FaultCode } from '../../kit/fault.ts'
import { redfishInfo } from '../../conductor/bmc/redfish/info.ts'
import { runHolding, type BmcSession, type Holding } from '../../conductor/holding.ts'
import { DirectPower } from '../../host-agent/adapters/bmc.ts'
import { Redfish } from '../../conductor/bmc/redfish/redfish.ts'
import { FIELD_FAULTS, type FieldFault } from './field-faults.ts'
import { faultTable } from './fault-table.ts'
import { PASSWORD, VirtualBmc } from './virtual-bmc.ts'

/** What waits in production waits for nothing here. */
const clock: Clock = { ...systemClock, sleep: async (_, signal) => signal?.throwIfAborted() }
const LIFE_MS = 20_000
const noRun = () => Promise.reject(new Error('no program is started here'))
const opened: { close: () => unknown }[] = []
afterEach(async () => {
  await Promise.all(opened.splice(0).map(({ close }) => close()))
})

async function rig(faults: readonly FieldFault[] = [], more: Readonly<Record<string, unknown>> = {}) {
  const bmc = await VirtualBmc.start(...faults)
  const client = new Redfish(redfishInfo(bmc.driverInfo(more)), clock)
  opened.push({
    close: async () => {
      await client.close()
      await bmc.stop()
    },
  })
  return { bmc, client, signal: AbortSignal.timeout(LIFE_MS) }
}
const PXE = { device: 'pxe', once: true, efi: true } as const
const codeOf = (error: unknown) => (isFault(error) ? error.code : String(error))

test('power: on, off and reset do what they say, and asking twice does nothing', async () => {
  const { bmc, client, signal } = await rig()
  expect(await client.power(signal)).toBe('off')
  await client.setPower('on', signal)
  await client.setPower('on', signal)
  expect(await client.poll(signal)).toBe('on')
  await client.reset(signal)
  await client.injectNmi(signal)
  await client.setPower('soft-off', signal)
  await client.reset(signal)
  await client.setPower('off', signal)
  expect(bmc.system).toMatchObject({ power: 'Off', nmis: 1 })
  expect(bmc.system.resets).toEqual(['On', 'ForceRestart', 'Nmi', 'GracefulShutdown', 'On', 'ForceOff'])
})

test('the boot override is set once, read back, and not written again when it holds', async () => {
  const { bmc, client, signal } = await rig()
  const modeNow = () => bmc.system.boot.BootSourceOverrideMode
  expect(modeNow()).toBe('UEFI')
  await client.setBootDevice({ ...PXE, efi: null }, signal)
  expect(modeNow()).toBe('UEFI')
  await client.setBootDevice(PXE, signal)
  expect(await client.bootDevice(signal)).toEqual({ device: 'pxe', persistent: false })
  const changes = () => bmc.heard.filter(({ method }) => method === 'PATCH').length
  const before = changes()
  await client.setBootDevice(PXE, signal)
  expect(changes()).toBe(before)
  await client.setBootDevice({ device: 'disk', once: false, efi: false }, signal)
  expect(bmc.system.boot).toMatchObject({ BootSourceOverrideTarget: 'Hdd', BootSourceOverrideMode: 'Legacy' })
  expect(await client.bootDevice(signal)).toEqual({ device: 'disk', persistent: true })
  await client.setBootDevice({ device: 'cdrom', once: true, efi: null }, signal)
  expect(modeNow()).toBe('Legacy')
})

test('one session serves all requests, and is deleted at the end', async () => {
  const { bmc, client, signal } = await rig()
  await Promise.all([client.power(signal), client.systemUuid(signal), client.bootDevice(signal)])
  expect(await client.systemUuid(signal)).toBe('30313233-3435-4637-b839-414243444546')
  expect([bmc.sessions.size, bmc.heard.some(({ basic }) => basic)]).toEqual([1, false])
  await client.close()
  expect(bmc.sessions.size).toBe(0)
})

test('who has the node next ends the session of the one before: its "off", sent afterwards, does nothing', async () => {
  const { bmc, client, signal } = await rig()
  await client.setPower('on', signal)
  const slot = { group: '', slot: 1, still: () => undefined, lost: () => undefined }
  const kept: BmcSession[] = []
  const next = new Redfish(redfishInfo(bmc.driverInfo()), clock)
  opened.push({ close: () => next.close() })
  const former = {
    at: (place: string) => kept.filter((one) => one.place === place).map(({ name }) => name),
    ended: (_: string, name: string) =>
      void kept.splice(
        kept.findIndex((one) => one.name === name),
        1,
      ),
    unanswered: () => undefined,
  }
  let isTaken = false
  const first: Holding = {
    ...slot,
    token: 1,
    check: async (session) => {
      if (isTaken) throw new Fault('store.locked', 'another conductor may have this node now')
      if (session) kept.push(session)
      isTaken = true
      // It stands still here, with the word of the database in its hand.
      await runHolding({ ...slot, token: 2, check: async () => undefined, former }, () => next.power(signal))
    },
  }
  const late = runHolding(first, () => client.setPower('off', signal))
  expect(codeOf(await late.catch((error: unknown) => error))).toBe('store.locked')
  expect([bmc.system.power, kept, bmc.sessions.size]).toEqual(['On', [], 2])
})

test('Basic sends the password with each request and opens no session', async () => {
  const { bmc, client, signal } = await rig([], { redfish_auth_type: 'basic' })
  expect(await client.power(signal)).toBe('off')
  expect(bmc.heard.some(({ path }) => path.includes('Sessions'))).toBe(false)
})

test('the key that was seen at first contact is kept: behind another key the BMC gets no byte', async () => {
  const { bmc, client, signal } = await rig()
  expect(client.tlsPin).toBeNull()
  await client.power(signal)
  const { tlsPin: pin } = client
  expect(pin).toMatch(/^[A-Za-z0-9+/]{43}=$/)
  await bmc.rekey()
  const heard = bmc.heard.length
  expect(codeOf(await client.power(signal).catch((error: unknown) => error))).toBe('bmc.identity')
  expect(bmc.heard.length).toBe(heard)

  const pinned = new Redfish(redfishInfo(bmc.driverInfo(), pin), clock)
  opened.push({ close: () => pinned.close() })
  expect(codeOf(await pinned.power(signal).catch((error: unknown) => error))).toBe('bmc.identity')
  const told = new Redfish(redfishInfo(bmc.driverInfo({ rackward_tls_pin: pin })), clock)
  opened.push({ close: () => told.close() })
  expect(codeOf(await told.power(signal).catch((error: unknown) => error))).toBe('bmc.identity')
  expect(bmc.heard.length).toBe(heard)
})

test('a CA that did not sign the certificate is a fault, and no password is sent', async () => {
  const { bmc, client, signal } = await rig([], { redfish_verify_ca: true })
  expect(codeOf(await client.power(signal).catch((error: unknown) => error))).toBe('bmc.identity')
  expect(bmc.heard).toEqual([])
})

test('a wrong password is said, and names no password', async () => {
  const { client, signal } = await rig([], { redfish_password: 'wrong-one' })
  const fault = await client.power(signal).catch((error: unknown) => error)
  expect(codeOf(fault)).toBe('bmc.password')
  expect(String((fault as Error).message)).not.toMatch(new RegExp(`wrong-one|${PASSWORD}`))
})

test('the BMC is restarted through its manager; what Redfish does not carry is said', async () => {
  const { bmc, client, signal } = await rig()
  await client.resetController('warm', signal)
  expect(bmc.restarts).toBe(1)
  for (const refused of [client.raw(), client.console()])
    expect(codeOf(await refused.catch((error: unknown) => error))).toBe('node.unsupported')
})

test('a system that moved is found again', async () => {
  const { bmc, client, signal } = await rig()
  await client.power(signal)
  bmc.systemId = 'System.Embedded.1'
  expect(await client.power(signal)).toBe('off')
})

test('a BMC that is not there is unreachable', async () => {
  const { bmc, client, signal } = await rig()
  await bmc.stop()
  expect(codeOf(await client.power(signal).catch((error: unknown) => error))).toBe('bmc.unreachable')
})

/** What the operator sees: "well" is the wanted end; else the fault. */
type End = 'well' | FaultCode
const ALL_WELL = { on: 'well', boot: 'well' } as const
const OUTCOMES: Readonly<Record<FieldFault, { on: End; boot: End; more?: Readonly<Record<string, unknown>> }>> = {
  'a session has no Location': ALL_WELL,
  'the session table is full': ALL_WELL,
  'there are no sessions': ALL_WELL,
  'a session ends by itself': ALL_WELL,
  'the password must be changed': { on: 'bmc.password-change', boot: 'bmc.password-change' },
  'the user has been locked out': { on: 'bmc.password', boot: 'bmc.password' },
  'a change needs any If-Match': ALL_WELL,
  'a change with If-Match is refused': ALL_WELL,
  'etag is weak, and only its strong form is taken': ALL_WELL,
  'the first change is refused, because the ETag moved': ALL_WELL,
  'messages are one object': ALL_WELL,
  'messages have no text': ALL_WELL,
  'errors are HTML': ALL_WELL,
  '"on" is refused for a while after "off"': ALL_WELL,
  'a reset is accepted and ignored': { on: 'bmc.unproven', boot: 'well' },
  'a system is powering off for ever': ALL_WELL,
  'there is no power state': { on: 'bmc.unready', boot: 'well' },
  'no reset types are named': ALL_WELL,
  'reset types stand in an ActionInfo': ALL_WELL,
  'the override is written in the settings resource': ALL_WELL,
  'the override is accepted and ignored': { on: 'well', boot: 'bmc.unproven' },
  'what is not repeated is dropped': ALL_WELL,
  'the boot mode is not shown': ALL_WELL,
  'the boot mode must be in every change': ALL_WELL,
  'the boot mode cannot be written': ALL_WELL,
  // What the machine then boots shows in rules.test.ts.
  'an override for once is kept for ever': ALL_WELL,
  'an override for once is ignored': ALL_WELL,
  'a restart of the BMC forgets the override': ALL_WELL,
  'nothing is Continuous': ALL_WELL,
  'the virtual drive is UsbCd': ALL_WELL,
  'the server is starting, and nothing can be changed': { on: 'well', boot: 'bmc.unready' },
  'a licence is missing': { on: 'well', boot: 'bmc.licence' },
  'a 200 says Critical': ALL_WELL,
  'there are two systems': { on: 'bmc.config', boot: 'bmc.config' },
  'there are ten thousand members': { on: 'bmc.config', boot: 'bmc.config' },
  'the path is a manager': { on: 'bmc.config', boot: 'bmc.config' },
  'the UUID is empty': ALL_WELL,
  'kept connections are reset': ALL_WELL,
  'an answer breaks off': { on: 'well', boot: 'bmc.unreachable' },
  'a change takes two seconds': ALL_WELL,
  'a redirect leads to another host': { on: 'bmc.refused', boot: 'bmc.refused' },
  'a link leads to another host': { on: 'bmc.refused', boot: 'bmc.refused' },
  'an answer has no end': { on: 'bmc.refused', boot: 'bmc.refused' },
  'an answer drips': { on: 'bmc.timeout', boot: 'bmc.timeout' },
  'an answer is nested without end': { on: 'bmc.refused', boot: 'bmc.refused' },
  'it is no Redfish service': { on: 'bmc.refused', boot: 'bmc.refused' },
  'it is busy after a restart': { on: 'bmc.unready', boot: 'bmc.unready' },
}

test.each(FIELD_FAULTS)('%s: the wanted end, or a fault by name', async (fault) => {
  const { bmc, client } = await rig([fault])
  const quick = fault === 'an answer drips' ? 1_500 : LIFE_MS
  const end = async (work: (signal: AbortSignal) => Promise<void>): Promise<string> => {
    const signal = AbortSignal.timeout(quick)
    try {
      await work(signal)
      return 'well'
    } catch (error) {
      return signal.aborted ? 'bmc.timeout' : codeOf(error)
    }
  }
  const boot = await end(async (signal) => {
    await client.setBootDevice(PXE, signal)
    const shown = { ...bmc.system.boot, ...bmc.system.pending }
    expect(shown).toMatchObject({ BootSourceOverrideTarget: 'Pxe', BootSourceOverrideEnabled: 'Once' })
  })
  const on = await end(async (signal) => {
    await client.setPower('on', signal)
    if ((await client.power(signal)) !== 'on') throw new Error('bmc.unproven')
  })
  expect({ on: on.replace(/^Error: /, ''), boot }).toEqual({ on: OUTCOMES[fault].on, boot: OUTCOMES[fault].boot })
})

// On request: npm run test:redfish sets it.
afterAll(() => {
  if (process.env.RACKWARD_FAULT_TABLE !== 'yes') return
  const rows = FIELD_FAULTS.map((fault) => [fault, OUTCOMES[fault].on, OUTCOMES[fault].boot] as const)
  process.stdout.write(
    faultTable([['a BMC whose fault is: ', 'ends, for power on, in', 'for boot from network in'], ...rows]),
  )
})

test('a system that is powering off is not off', async () => {
  const { bmc, client, signal } = await rig(['a system is powering off for ever'])
  bmc.system.power = 'On'
  await client.setPower('off', signal)
  expect(await client.power(signal)).toBe('on')
})

test('an arbiter fences through Redfish with Basic: two readings prove "off", and no session is taken', async () => {
  const { bmc } = await rig()
  bmc.system.power = 'On'
  const power = new DirectPower([async () => bmc.driverInfo()], {
    run: noRun,
    clock: systemClock,
    ipmiClient: 'native',
  })
  const signal = AbortSignal.timeout(LIFE_MS)
  const before = await power.ask({ name: 'h1' }, 'identify', signal)
  expect(before).toMatchObject({ power: 'on', systemUuid: bmc.system.uuid })
  await power.ask({ name: 'h1' }, 'off', signal)
  const [one, two] = [
    await power.ask({ name: 'h1' }, 'identify', signal),
    await power.ask({ name: 'h1' }, 'identify', signal),
  ]
  expect([one.power, two.power, one.session === two.session, bmc.sessions.size]).toEqual(['off', 'off', false, 0])
})
