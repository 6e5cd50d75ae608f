/** What the virtual BMC shows, and what it refuses, with its faults. */
import type { FieldFault } from './field-faults.ts'
import type { VirtualBmc } from './virtual-bmc.ts'

export const ROOT = '/redfish/v1'
export const RESET_TYPES = ['On', 'ForceOff', 'GracefulShutdown', 'ForceRestart', 'PushPowerButton', 'Nmi']

export const [SERVICE, SESSIONS, MANAGER] = [
  `${ROOT}/SessionService`,
  `${ROOT}/SessionService/Sessions`,
  `${ROOT}/Managers/BMC`,
] as const

/** The resources by path. */
export function resourcesOf(bmc: VirtualBmc): Readonly<Record<string, Record<string, unknown>>> {
  const { system } = bmc
  const has = (fault: FieldFault) => bmc.faults.has(fault)
  const boot: Record<string, unknown> = {
    ...system.boot,
    'BootSourceOverrideTarget@Redfish.AllowableValues': [
      'None',
      'Pxe',
      has('the virtual drive is UsbCd') ? 'UsbCd' : 'Cd',
      'Hdd',
      'BiosSetup',
    ],
    'BootSourceOverrideEnabled@Redfish.AllowableValues': has('nothing is Continuous')
      ? ['Disabled', 'Once']
      : ['Disabled', 'Once', 'Continuous'],
  }
  if (has('the boot mode is not shown')) delete boot.BootSourceOverrideMode
  const action: Record<string, unknown> = { target: `${bmc.systemPath}/Actions/ComputerSystem.Reset` }
  if (has('reset types stand in an ActionInfo')) action['@Redfish.ActionInfo'] = `${bmc.systemPath}/ResetActionInfo`
  else if (!has('no reset types are named')) action['ResetType@Redfish.AllowableValues'] = RESET_TYPES
  const settings = { '@Redfish.Settings': { SettingsObject: { '@odata.id': `${bmc.systemPath}/Settings` } } }
  const pending = has('the override is written in the settings resource')
  const link = (path: string) => ({ '@odata.id': path })
  const service = [SERVICE, MANAGER].map((path) => link(path))
  return {
    [ROOT]: resource(`${ROOT}/`, '#ServiceRoot.v1_16_0.ServiceRoot', {
      Id: 'RootService',
      RedfishVersion: '1.18.0',
      Systems: link(has('a link leads to another host') ? '//198.51.100.1/redfish/v1/Systems' : `${ROOT}/Systems`),
      Managers: link(`${ROOT}/Managers`),
      ...(has('there are no sessions') ? {} : { SessionService: service[0], Links: { Sessions: link(SESSIONS) } }),
    }),
    [SERVICE]: resource(SERVICE, '#SessionService.v1_1_8.SessionService', {
      ServiceEnabled: true,
      SessionTimeout: 1_800,
      Sessions: link(SESSIONS),
    }),
    [SESSIONS]: collection(SESSIONS, '#SessionCollection.SessionCollection', [...bmc.sessions.values()].map(link)),
    [`${ROOT}/Systems`]: collection(
      `${ROOT}/Systems`,
      '#ComputerSystemCollection.ComputerSystemCollection',
      members(bmc),
    ),
    [bmc.systemPath]: resource(
      bmc.systemPath,
      has('the path is a manager') ? '#Manager.v1_5_0.Manager' : '#ComputerSystem.v1_20_0.ComputerSystem',
      {
        SystemType: 'Physical',
        Manufacturer: 'Rackward',
        Model: 'Virtual',
        SerialNumber: 'RW-0001',
        Status: { State: 'Enabled', Health: 'OK' },
        PowerState: has('there is no power state') ? null : system.power,
        UUID: has('the UUID is empty') ? '' : system.uuid,
        Boot: boot,
        Links: { ManagedBy: [service[1]] },
        Actions: { '#ComputerSystem.Reset': action },
        ...(pending ? settings : {}),
      },
    ),
    ...(pending
      ? {
          [`${bmc.systemPath}/Settings`]: resource(
            `${bmc.systemPath}/Settings`,
            '#ComputerSystem.v1_20_0.ComputerSystem',
            {
              Boot: { ...system.boot, ...system.pending },
            },
          ),
        }
      : {}),
    [`${bmc.systemPath}/ResetActionInfo`]: resource(
      `${bmc.systemPath}/ResetActionInfo`,
      '#ActionInfo.v1_4_0.ActionInfo',
      {
        Parameters: [{ Name: 'ResetType', DataType: 'String', AllowableValues: ['On', 'ForceOff', 'PushPowerButton'] }],
      },
    ),
    [`${ROOT}/Managers`]: collection(`${ROOT}/Managers`, '#ManagerCollection.ManagerCollection', [service[1]]),
    [MANAGER]: resource(MANAGER, '#Manager.v1_18_0.Manager', {
      ManagerType: 'BMC',
      FirmwareVersion: '1.0',
      Links: { ManagerForServers: [link(bmc.systemPath)] },
      Actions: {
        '#Manager.Reset': {
          target: `${MANAGER}/Actions/Manager.Reset`,
          'ResetType@Redfish.AllowableValues': ['GracefulRestart', 'ForceRestart'],
        },
      },
    }),
  }
}

/** Id and Name are required of every resource (DSP0266, "Required properties"). */
const resource = (path: string, type: string, more: Readonly<Record<string, unknown>>) => ({
  '@odata.id': path,
  '@odata.type': type,
  Id: path.split('/').at(-1) ?? '',
  Name: type.split('.').at(-1) ?? '',
  ...more,
})

const collection = (path: string, type: string, list: readonly unknown[]) => ({
  '@odata.id': path,
  '@odata.type': type,
  Name: type.split('.').at(-1) ?? '',
  'Members@odata.count': list.length,
  Members: list,
})

function members(bmc: VirtualBmc): unknown[] {
  if (bmc.faults.has('there are ten thousand members'))
    return Array.from({ length: 10_000 }, (_, i) => ({ '@odata.id': `${ROOT}/Systems/${i}` }))
  const more = bmc.faults.has('there are two systems') ? [{ '@odata.id': `${ROOT}/Systems/HGX_Baseboard_0` }] : []
  return [{ '@odata.id': bmc.systemPath }, ...more]
}

interface Refused {
  readonly status: number
  readonly id: string
  readonly args?: readonly string[]
}

/** What a BMC with its faults refuses of a change of the override. */
export function refusalOf(
  bmc: VirtualBmc,
  { boot, ifMatch, etag }: { boot: Record<string, string>; ifMatch: string | undefined; etag: string },
): Refused | undefined {
  const has = (fault: FieldFault) => bmc.faults.has(fault)
  if (has('a change needs any If-Match') && ifMatch !== '*') return { status: 428, id: 'PreconditionRequired' }
  if (has('a change with If-Match is refused') && ifMatch !== undefined)
    return { status: 412, id: 'PreconditionFailed' }
  if (has('etag is weak, and only its strong form is taken') && ifMatch !== etag.replace(/^W\//, ''))
    return { status: 412, id: 'PreconditionFailed' }
  if (
    has('the first change is refused, because the ETag moved') &&
    bmc.times('the first change is refused, because the ETag moved') === 1
  )
    return { status: 412, id: 'PreconditionFailed' }
  const mode = 'BootSourceOverrideMode'
  if (has('the boot mode must be in every change') && boot[mode] === undefined)
    return { status: 400, id: 'PropertyMissing', args: [mode] }
  if ((has('the boot mode cannot be written') || has('the boot mode is not shown')) && boot[mode] !== undefined)
    return { status: 400, id: 'PropertyNotWritable', args: [mode] }
  if (has('the server is starting, and nothing can be changed'))
    return { status: 400, id: 'UnableToModifyDuringSystemPOST' }
  if (has('a licence is missing')) return { status: 403, id: 'OemLicenseNotPassed' }
  return undefined
}
