/** How each boot interface brings a node into the ramdisk and back to its disk, as data: effects between "off" and
 *  "on", and after "on". */
import type { Effect } from '../effect.ts'
import type { NodeRecord } from '../record.ts'

export interface BootPlan {
  /** Before the node is switched on for the ramdisk. It is off then. */
  readonly toRamdisk: readonly Effect[]
  /** After that. */
  readonly onTheWay: readonly Effect[]
  /** Before it is switched on for its disk. It is off then. */
  readonly toDisk: readonly Effect[]
  /** The ramdisk comes as the ISO image, with the address of the node in it. */
  readonly servesIso: boolean
}

const EJECT: Effect = { do: 'media', put: null }
const ASKED: Effect = { do: 'media-asked' }
const DISK: Effect = { do: 'boot-device', device: 'disk' }

const IPXE: BootPlan = {
  toRamdisk: [{ do: 'boot-device', device: 'pxe' }],
  onTheWay: [],
  toDisk: [DISK],
  servesIso: false,
}

/** Media are changed only while the machine is off: one that loses a drive may hang. */
const VIRTUAL_MEDIA: BootPlan = {
  toRamdisk: [EJECT, { do: 'media', put: 'ramdisk' }, { do: 'boot-device', device: 'cdrom' }],
  onTheWay: [ASKED],
  toDisk: [EJECT, DISK],
  servesIso: true,
}

/** The firmware fetches the image itself. */
const UEFI_HTTP: BootPlan = { toRamdisk: [{ do: 'http-boot' }], onTheWay: [ASKED], toDisk: [DISK], servesIso: true }

/** By boot interface; every other one boots from the network. */
const PLANS: Readonly<Record<string, BootPlan>> = {
  'redfish-virtual-media': VIRTUAL_MEDIA,
  'idrac-redfish-virtual-media': VIRTUAL_MEDIA,
  'redfish-https': UEFI_HTTP,
}

export const bootPlanOf = ({ interfaces }: Pick<NodeRecord, 'interfaces'>): BootPlan =>
  PLANS[interfaces.boot ?? ''] ?? IPXE

/** What is done while the node is off makes its next start a boot of the ramdisk. */
export const isRamdiskBoot = (effect: Effect): boolean =>
  effect.do === 'http-boot' || (effect.do === 'boot-device' && effect.device !== 'disk' && !effect.always)
