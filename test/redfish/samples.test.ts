/** Shapes in which vendors answer, written anew: error bodies, settings resources under other names, links to the
 *  manager. Each must be read for what it means. */
import { afterEach, expect, test } from 'vitest'
import { RedfishClient } from '../../conductor/bmc/redfish/client.ts'
import { redfishInfo } from '../../conductor/bmc/redfish/info.ts'
import { findManager } from '../../conductor/bmc/redfish/manager.ts'
import { faultOf, isCritical, messagesOf } from '../../conductor/bmc/redfish/messages.ts'
import { Redfish } from '../../conductor/bmc/redfish/redfish.ts'
import { systemClock } from '../../kit/clock.ts'
import { at, members, StaticService, SYSTEM, type Body } from './static-service.ts'

const LIFE_MS = 20_000
const EXTENDED = '@Message.ExtendedInfo'
let service: StaticService
afterEach(() => service?.stop())

const said = (status: number, body: unknown) => {
  const { code, message } = faultOf({ status, messages: messagesOf(body) }, 'PATCH')
  return [code, message]
}

test.each<[string, number, unknown, string, RegExp]>([
  [
    'a list of messages, of which the first has a resolution',
    400,
    {
      error: {
        [EXTENDED]: [{ MessageId: 'Base.1.8.PropertyMissing', Message: 'Mode is missing.', Resolution: 'Add it.' }],
      },
    },
    'bmc.refused',
    /HTTP 400: Mode is missing\. \(Add it\.\)/,
  ],
  [
    'one object instead of a list',
    400,
    { error: { [EXTENDED]: { MessageId: 'Base.1.5.PropertyValueNotInList', Message: 'Not in the list.' } } },
    'bmc.refused',
    /Not in the list\./,
  ],
  [
    'a message at the top of the body',
    403,
    { [EXTENDED]: [{ MessageId: 'SMC.1.0.OemLicenseNotPassed', Message: 'Not licensed to perform this request.' }] },
    'bmc.licence',
    /Not licensed/,
  ],
  [
    'a message without text: its id is said',
    400,
    { error: { [EXTENDED]: [{ MessageId: 'iLO.2.14.UnableToModifyDuringSystemPOST', MessageArgs: [] }] } },
    'bmc.unready',
    /UnableToModifyDuringSystemPOST/,
  ],
  [
    'another version of the registry is the same message',
    503,
    {
      error: {
        [EXTENDED]: [{ MessageId: 'IDRAC.2.14.RAC0218', Message: 'The maximum number of user sessions is reached.' }],
      },
    },
    'bmc.sessions',
    /maximum number/,
  ],
  [
    'no messages, only the text of the error',
    404,
    { error: { code: 'x', message: 'Not found' } },
    'bmc.path',
    /Not found/,
  ],
  ['HTML, which was not parsed', 503, undefined, 'bmc.unready', /HTTP 503/],
])('an error: %s', (_, status, body, code, text) => {
  expect(said(status, body)).toEqual([code, expect.stringMatching(text)])
})

test('a 200 whose worst message is Critical was not done', () => {
  const messages = [
    { MessageId: 'Base.1.8.Success', Severity: 'OK' },
    { MessageId: 'IDRAC.2.8.SYS410', MessageSeverity: 'Critical' },
  ]
  expect(isCritical(messagesOf({ [EXTENDED]: messages }))).toBe(true)
  expect(isCritical(messagesOf({ [EXTENDED]: messages.slice(0, 1) }))).toBe(false)
})

const MANAGER = '/redfish/v1/Managers/Self'
test.each<[string, Body]>([
  ['ManagedBy', { Links: { ManagedBy: [at(MANAGER)] } }],
  ['Managers, where ManagedBy is missing', { Links: { Managers: [at(MANAGER)] } }],
  ['nothing: the only manager is it', { Links: { ManagedBy: null } }],
])('the manager is found by %s', async (_, system) => {
  service = await StaticService.start({
    '/redfish/v1': {
      RedfishVersion: '1.6.0',
      Systems: at('/redfish/v1/Systems'),
      Managers: at('/redfish/v1/Managers'),
    },
    '/redfish/v1/Managers': members([MANAGER]),
  })
  const client = new RedfishClient(redfishInfo(service.driverInfo()))
  const found = await findManager(
    client,
    { path: SYSTEM, body: system, etag: null, sizeBytes: 0 },
    AbortSignal.timeout(LIFE_MS),
  )
  await client.close(AbortSignal.timeout(LIFE_MS))
  expect(found).toBe(MANAGER)
})

test.each(['Pending', 'SD', 'settings'])('an override is written in the settings resource named %s', async (name) => {
  const boot = {
    BootSourceOverrideTarget: 'None',
    BootSourceOverrideEnabled: 'Disabled',
    BootSourceOverrideMode: 'UEFI',
  }
  const settings = `${SYSTEM}/${name}`
  service = await StaticService.start({
    [SYSTEM]: {
      '@odata.type': '#ComputerSystem.v1_13_0.ComputerSystem',
      PowerState: 'Off',
      Boot: boot,
      '@Redfish.Settings': { '@odata.type': '#Settings.v1_3_3.Settings', SettingsObject: at(settings) },
    },
    [settings]: { '@odata.type': '#ComputerSystem.v1_13_0.ComputerSystem', Boot: boot },
  })
  service.handle = ({ method, path, body }) => {
    if (method !== 'PATCH') return undefined
    const resource = service.resources[path] as Body
    service.resources[path] = { ...resource, Boot: { ...(resource.Boot as Body), ...(body.Boot as Body) } }
    return { status: 204 }
  }
  const client = new Redfish(redfishInfo(service.driverInfo()), systemClock)
  await client.setBootDevice({ device: 'pxe', once: true, efi: true }, AbortSignal.timeout(LIFE_MS))
  await client.close()
  expect(service.heard.filter(({ method }) => method === 'PATCH').map(({ path }) => path)).toEqual([settings])
})
