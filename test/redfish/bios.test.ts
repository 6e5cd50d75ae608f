/** BIOS settings from the API to their read-back: checked before anything is sent, proven after the restart; and what
 *  each field fault ends in. */
import { afterEach, expect, test } from 'vitest'
import type { FaultName } from './faults.ts'
import { Rig, type RigOptions } from './rig.ts'

let rig: Rig | undefined
afterEach(async () => {
  await rig?.close()
  rig = undefined
})
const open = async (faults: readonly FaultName[] = [], more: RigOptions = {}): Promise<Rig> =>
  (rig = await Rig.open({ faults, ...more }))

const apply = (settings: Readonly<Record<string, unknown>>) => [
  {
    interface: 'bios',
    step: 'apply_configuration',
    args: { settings: Object.entries(settings).map(([name, value]) => ({ name, value })) },
  },
]
const SHORT_TIME = {
  config: { provision: { biosTimeoutSeconds: 3, bmcLookSeconds: 0.2 }, powerSync: { everySeconds: 0 } },
}

test('settings are applied at a restart, read back, and shown with their registry', async () => {
  const { bmc, api, cleaned } = bound(await open())
  expect((await api('GET', '/v1/nodes/r1/bios')).body.bios).toHaveLength(7)
  // Metal3 sends numbers as texts.
  const node = await cleaned(apply({ ProcCores: '16', QuietBoot: 'false', LogicalProc: 'Disabled', BootMode: 'Uefi' }))
  expect(node).toMatchObject({ provision_state: 'manageable', last_error: null, power_state: 'power off' })
  expect(bmc.families.bios.current).toMatchObject({ ProcCores: 16, QuietBoot: false, LogicalProc: 'Disabled' })
  // What holds already is not sent, and one order is enough.
  expect(bmc.families.bios.orders).toEqual([{ ProcCores: 16, QuietBoot: false, LogicalProc: 'Disabled' }])
  expect(bmc.machine.starts).toHaveLength(1)

  const { body } = await api('GET', '/v1/nodes/r1/bios/ProcCores')
  expect(body.ProcCores).toMatchObject({
    name: 'ProcCores',
    value: '16',
    attribute_type: 'Integer',
    lower_bound: 0,
    upper_bound: 64,
    read_only: false,
  })
  expect(body.ProcCores.updated_at).not.toBeNull()
  const detail = (await api('GET', '/v1/nodes/r1/bios?detail=true')).body.bios as Record<string, unknown>[]
  expect(detail.find(({ name }) => name === 'BootMode')).toMatchObject({
    allowable_values: ['Uefi', 'Bios'],
    reset_required: true,
    updated_at: null,
  })
  expect((await api('GET', '/v1/nodes/r1/bios/NoSuch')).status).toBe(404)
})

test('what holds already restarts nothing', async () => {
  const { bmc, cleaned } = bound(await open())
  expect(await cleaned(apply({ BootMode: 'Uefi', ProcCores: 0 }))).toMatchObject({ provision_state: 'manageable' })
  expect([bmc.families.bios.orders, bmc.machine.starts]).toEqual([[], []])
})

const WRONG = [
  [{ ProcCores: 65 }, 'ProcCores is a whole number from 0 to 64, not 65'],
  [{ BootMode: 'Legacy' }, 'BootMode is one of Uefi, Bios, not Legacy'],
  [{ QuietBoot: 'perhaps' }, 'QuietBoot is true or false'],
  [{ SystemBiosVersion: '3' }, 'SystemBiosVersion can only be read'],
  [{ AssetTag: 'x'.repeat(64) }, 'AssetTag is a text from 0 to 63 characters long'],
  [{ ProcCore: 4 }, 'ProcCore does not exist; did you mean ProcCores?'],
] as const

test('a value that the registry does not allow is refused with the request, and nothing is sent', async () => {
  const { bmc, clean, node } = bound(await open())
  for (const [settings, why] of WRONG) {
    const answer = await clean(apply({ LogicalProc: 'Disabled', ...settings }))
    expect([answer.status, JSON.stringify(answer.body).replaceAll(/[\\"]/g, '')]).toEqual([
      400,
      expect.stringContaining(why),
    ])
  }
  expect((await node()).provision_state).toBe('manageable')
  expect([bmc.families.bios.orders, bmc.machine.starts]).toEqual([[], []])
})

test('arguments that do not fit are refused before anything is touched, and the steps of a node are listed with theirs', async () => {
  const { api, clean } = bound(await open())
  const wrong = await clean([{ interface: 'bios', step: 'apply_configuration', args: { setting: [] } }])
  expect([wrong.status, JSON.stringify(wrong.body)]).toEqual([
    400,
    expect.stringContaining('bios.apply_configuration: settings is missing'),
  ])
  const none = await clean([{ interface: 'bios', step: 'factory_reset', args: { now: true } }])
  expect([none.status, JSON.stringify(none.body)]).toEqual([400, expect.stringContaining('takes no arguments')])

  const { steps } = (await api('GET', '/rackward/v1/nodes/r1/steps')).body as { steps: Record<string, unknown>[] }
  expect(steps.find(({ interface: at, step }) => at === 'bios' && step === 'apply_configuration')).toMatchObject({
    by: 'bmc',
    requires_ramdisk: false,
    priorities: { clean: 0, deploy: 0, service: 0 },
    argsinfo: { settings: { required: true, description: expect.stringContaining('name, value') } },
  })
})

test('defaults come back with a factory reset', async () => {
  const { bmc, cleaned } = bound(await open())
  bmc.families.bios.current.ProcCores = 8
  const steps = [{ interface: 'bios', step: 'factory_reset' }]
  expect(await cleaned(steps)).toMatchObject({ provision_state: 'manageable' })
  expect(bmc.families.bios.current.ProcCores).toBe(0)
  expect(bmc.machine.starts).toHaveLength(1)
})

test('the node is not locked while the server is in POST, and explain says what is waited for', async () => {
  const { bmc, api, clean, until, becomes } = bound(await open())
  bmc.machine.postMs = 2_500
  await clean(apply({ ProcCores: 4 }))
  const words = await until('the restart', async () => {
    const account = (await api('GET', '/rackward/v1/nodes/r1/explain')).body
    return account.lock === null && /server is in POST/.test(account.waits_for)
      ? (account.waits_for as string)
      : undefined
  })
  expect(words).toMatch(
    /^the BMC to carry out bios.apply_configuration \(the server was restarted for it; 0 %; the server is in POST/,
  )
  expect((await api('GET', '/v1/nodes/r1')).body).toMatchObject({ provision_state: 'clean wait', reservation: null })
  await becomes('manageable')
  expect(bmc.machine.starts).toHaveLength(1)
})

test('a conductor that is restarted in the middle goes on with looking, and orders nothing twice', async () => {
  const { rig: own, bmc, clean, until, becomes, node } = bound(await open())
  bmc.machine.postMs = 3_000
  await clean(apply({ ProcCores: 4 }))
  await until('the wait', async () => (await node()).provision_state === 'clean wait')
  await own.stopConductor()
  await own.start()
  await becomes('manageable')
  expect(bmc.families.bios.orders).toHaveLength(1)
  expect(bmc.machine.starts).toHaveLength(1)
})

test('a service applies settings and starts the instance again', async () => {
  const { bmc, api, until, node } = bound(await open([], { node: { instance_info: { image_source: '0'.repeat(64) } } }))
  await api('PUT', '/v1/nodes/r1/states/power', { target: 'power on' })
  await until('power', async () => (await node()).power_state === 'power on')
  const adopted = await api('PUT', '/v1/nodes/r1/states/provision', { target: 'adopt' })
  expect(adopted.status).toBe(202)
  await until('active', async () => ['active', 'adopt failed'].includes(String((await node()).provision_state)))
  expect((await node()).provision_state).toBe('active')
  const service = { target: 'service', service_steps: apply({ WorkloadProfile: 'LowLatency' }), disable_ramdisk: true }
  expect((await api('PUT', '/v1/nodes/r1/states/provision', service)).status).toBe(202)
  await until(
    'the end',
    async () =>
      bmc.families.bios.current.WorkloadProfile === 'LowLatency' && (await node()).provision_state === 'active',
  )
  expect(bmc.system.boot.BootSourceOverrideTarget).toBe('Hdd')
})

/** What an operator sees for each fault of the field. */
const WELL = 'well'
const OUTCOMES: readonly (readonly [fault: FaultName, end: typeof WELL | RegExp])[] = [
  ['BIOS settings are shown before they are applied', WELL],
  ['the BIOS names no registry', WELL],
  ['the link to the BIOS settings is null', WELL],
  ['tasks are gone at once', WELL],
  ['a BIOS setting is taken and never applied', /ProcCores is 0 instead of 4.*Completed/],
  ['there are no BIOS settings', /shows no BIOS settings/],
]
test.each(OUTCOMES)('%s: the wanted end, or a fault that names what differs', async (fault, end) => {
  const { bmc, cleaned } = bound(await open([fault], end === WELL ? {} : SHORT_TIME))
  const node = await cleaned(apply({ ProcCores: 4, LogicalProc: 'Disabled' }))
  if (end !== WELL) {
    expect(node).toMatchObject({ provision_state: 'clean failed', last_error: expect.stringMatching(end) })
    return
  }
  expect(node).toMatchObject({ provision_state: 'manageable', last_error: null })
  expect(bmc.families.bios.current).toMatchObject({ ProcCores: 4, LogicalProc: 'Disabled' })
  expect(bmc.machine.starts).toHaveLength(1)
})

test('settings that somebody ordered before are sealed as a job: it is deleted, and both are applied', async () => {
  const { bmc, cleaned } = bound(await open(['BIOS settings are sealed as a job']))
  const { bios, tasks } = bmc.families
  bios.pending = { LogicalProc: 'Disabled' }
  const seal = () =>
    Reflect.set(
      bios,
      'job',
      tasks.schedule('ConfigBIOS:BIOS.Setup.1-1', () => void Object.assign(bios, { pending: {}, job: undefined })),
    )
  seal()
  expect(await cleaned(apply({ ProcCores: 4 }))).toMatchObject({ provision_state: 'manageable', last_error: null })
  expect(bios.current).toMatchObject({ ProcCores: 4, LogicalProc: 'Disabled' })
  expect(bios.orders).toEqual([{ ProcCores: 4, LogicalProc: 'Disabled' }])
})

test('a sealed job that has started is left alone, and the step says so', async () => {
  const { bmc, cleaned } = bound(
    await open(['BIOS settings are sealed as a job'], { config: { provision: { effectTries: 1 } } }),
  )
  const { bios, tasks } = bmc.families
  const job = tasks.schedule('ConfigBIOS:BIOS.Setup.1-1', () => undefined)
  job.state = 'Running'
  Reflect.set(bios, 'job', job)
  expect(await cleaned(apply({ ProcCores: 4 }))).toMatchObject({
    provision_state: 'clean failed',
    last_error: expect.stringMatching(/applies BIOS settings already .*JID_\d+ is Running/),
  })
  expect([tasks.jobs.size, bmc.machine.starts]).toEqual([1, []])
})

function bound(own: Rig) {
  const { bmc, api, node, clean, until } = own
  return { rig: own, bmc, api, node, clean, until, becomes: own.becomes.bind(own), cleaned: own.cleaned.bind(own) }
}
