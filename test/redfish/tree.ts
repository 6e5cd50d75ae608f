/** What the virtual BMC shows, and what it refuses, with its faults. */
import type { FieldFault } from './field-faults.ts'
import { RESET_TYPES, ROOT, type VirtualBmc } from './virtual-bmc.ts'

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
  return {
    [ROOT]: {
      '@odata.id': `${ROOT}/`,
      RedfishVersion: '1.18.0',
      Systems: {
        '@odata.id': has('a link leads to another host') ? '//198.51.100.1/redfish/v1/Systems' : `${ROOT}/Systems`,
      },
      ...(has('there are no sessions')
        ? {}
        : { Links: { Sessions: { '@odata.id': `${ROOT}/SessionService/Sessions` } } }),
    },
    [`${ROOT}/Systems`]: { Members: members(bmc) },
    [bmc.systemPath]: {
      '@odata.type': has('the path is a manager')
        ? '#Manager.v1_5_0.Manager'
        : '#ComputerSystem.v1_20_0.ComputerSystem',
      '@odata.id': bmc.systemPath,
      PowerState: has('there is no power state') ? null : system.power,
      UUID: has('the UUID is empty') ? '' : system.uuid,
      Boot: boot,
      Actions: { '#ComputerSystem.Reset': action },
      ...(has('the override is written in the settings resource') ? settings : {}),
    },
    ...(has('the override is written in the settings resource')
      ? { [`${bmc.systemPath}/Settings`]: { Boot: { ...system.boot, ...system.pending } } }
      : {}),
    [`${bmc.systemPath}/ResetActionInfo`]: {
      Parameters: [{ Name: 'ResetType', DataType: 'String', AllowableValues: ['On', 'ForceOff', 'PushPowerButton'] }],
    },
  }
}

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
