/** Boot mode and Secure Boot that an instance or a person wants, and how a change of them is kept. Pure. */
import { isoTime } from '../../../kit/clock.ts'
import { Fault } from '../../../kit/fault.ts'
import type { FirmwareModeSeen } from '../../bmc/parts/firmware-mode.ts'
import type { BmcTask, Json } from '../../bmc/task.ts'
import type { NodeRecord } from '../record.ts'
import { managementOf } from './interfaces.ts'

export interface FirmwareTarget {
  readonly bootMode?: 'uefi' | 'bios'
  readonly secureBoot?: boolean
}

/** What the instance of the node wants. Secure Boot is part of UEFI. */
export function firmwareTargetOf({ instanceInfo }: Pick<NodeRecord, 'instanceInfo'>): FirmwareTarget {
  const { boot_mode: mode, secure_boot: secure } = capabilitiesOf(instanceInfo.capabilities)
  const bootMode = mode === 'uefi' || mode === 'bios' ? mode : undefined
  if (isTrue(secure)) return { bootMode: 'uefi', secureBoot: true }
  return bootMode ? { bootMode } : {}
}

/** "boot mode uefi and Secure Boot on". */
export const modeWords = ({ bootMode, secureBoot }: FirmwareTarget): string =>
  [
    ...(bootMode === undefined ? [] : [`boot mode ${bootMode}`]),
    ...(secureBoot === undefined ? [] : [`Secure Boot ${secureBoot ? 'on' : 'off'}`]),
  ].join(' and ')

/** Both what the server started with, and what it will start with next. */
export const modeHolds = (seen: FirmwareModeSeen, { bootMode, secureBoot }: FirmwareTarget): boolean =>
  (bootMode === undefined || seen.bootMode === bootMode) &&
  (secureBoot === undefined ||
    ((seen.secureBoot?.active ?? false) === secureBoot && (seen.secureBoot?.wanted ?? false) === secureBoot))

/** A change that is waited for; `wasOff`: the server is switched off again in the end. */
export interface ModeChange extends FirmwareTarget {
  readonly wasOff?: true
}

export const modeOf = ({ want }: BmcTask): ModeChange => want as ModeChange
export const wasOff = (task: BmcTask): boolean => task.what === 'mode' && modeOf(task).wasOff === true
export const wantOfMode = ({ bootMode, secureBoot, wasOff: off }: ModeChange): Json => ({
  ...(bootMode === undefined ? {} : { bootMode }),
  ...(secureBoot === undefined ? {} : { secureBoot }),
  ...(off ? { wasOff: true } : {}),
})

/** Why a request has to wait although the node is not locked: its server is in the middle of a change of its firmware;
 *  undefined: it is not. */
export function modeWaitWhy({ uuid, workflow: { phase, bmcTask } }: NodeRecord): string | undefined {
  if (phase !== 'firmware-mode') return undefined
  const until = bmcTask ? `, until ${isoTime(bmcTask.deadlineMs)} at most` : ''
  return `node ${uuid} was restarted for another boot mode or Secure Boot, and waits for the proof${until}; breaking its lock gives up the wait`
}

const isTrue = (text: string | undefined): boolean => /^(true|1|yes|on|t|y)$/i.test(text ?? '')

/** The operator says that Secure Boot is on in the firmware of the node (properties/capabilities). */
const isDeclaredSecure = ({ properties }: Pick<NodeRecord, 'properties'>): boolean =>
  isTrue(capabilitiesOf(properties.capabilities).secure_boot)

/** The operator says that its firmware has the certificate of the site: it boots the signed ramdisk. */
export const bootsUki = ({ properties }: Pick<NodeRecord, 'properties'>): boolean =>
  isTrue(capabilitiesOf(properties.capabilities).secure_boot_uki)

/** Its network boots go through signed loaders, which start with Secure Boot on and off: its BMC showed Secure Boot on,
 *  or capabilities of the node or of its instance name it. */
export const bootsSigned = (node: Pick<NodeRecord, 'secureBoot' | 'properties' | 'instanceInfo'>): boolean =>
  node.secureBoot === true || isDeclaredSecure(node) || bootsUki(node) || firmwareTargetOf(node).secureBoot === true

/** It was switched on by an instance or by a person, not declared to be on in the firmware: an instance that does not
 *  name it starts without it. */
export const dropsSecureBoot = (
  node: Pick<NodeRecord, 'secureBoot' | 'driver' | 'interfaces' | 'properties'>,
): boolean => node.secureBoot === true && managementOf(node).firmwareMode && !isDeclaredSecure(node)

/** Whether Secure Boot is on when the instance starts, as far as is known. */
export const verifiesInstance = (
  node: Pick<NodeRecord, 'secureBoot' | 'driver' | 'interfaces' | 'properties' | 'instanceInfo'>,
): boolean =>
  firmwareTargetOf(node).secureBoot === true ||
  isDeclaredSecure(node) ||
  (node.secureBoot === true && !dropsSecureBoot(node))

/** What the operator says of the firmware of the node (properties/capabilities). */
export function declaredBootMode(properties: NodeRecord['properties']): 'uefi' | 'bios' | undefined {
  const { boot_mode: mode } = capabilitiesOf(properties.capabilities)
  return mode === 'uefi' || mode === 'bios' ? mode : undefined
}

/** An object, JSON of one, or "name:value,name:value": clients send all three. */
function capabilitiesOf(given: unknown): Readonly<Record<string, string>> {
  if (typeof given === 'string' && !given.trimStart().startsWith('{'))
    return Object.fromEntries(given.split(',').map((pair) => pair.split(':').map((part) => part.trim())))
  try {
    const found: unknown = typeof given === 'string' ? JSON.parse(given) : given
    return Object.fromEntries(Object.entries(found ?? {}).map(([name, value]) => [name, String(value)]))
  } catch {
    return {}
  }
}

/** Throws `node.unsupported` where the instance wants Secure Boot, it is not known to be on, and nothing can switch it
 *  on. */
export function checkFirmwareTarget(
  node: Pick<NodeRecord, 'driver' | 'interfaces' | 'uuid' | 'instanceInfo' | 'properties'>,
): void {
  if (!firmwareTargetOf(node).secureBoot || managementOf(node).firmwareMode || isDeclaredSecure(node)) return
  throw new Fault(
    'node.unsupported',
    `instance_info/capabilities: secure_boot: the driver ${node.driver} of node ${node.uuid} cannot switch Secure Boot, or its management interface is noop; where it is on already, say so in properties/capabilities (secure_boot:true)`,
  )
}
