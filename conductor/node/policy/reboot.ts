/** How a server that was deployed starts its image: by a jump of the deploy ramdisk into it (kexec), or cold, through
 *  its firmware. Pure. What is in doubt goes the cold way, which always works. */
import { Fault } from '../../../kit/fault.ts'
import type { NodeRecord, Reboot } from '../record.ts'
import { MIN_SAMPLES, type UsualTime } from './usual-time.ts'

export const REBOOTS = ['auto', 'kexec', 'cold'] as const
export type RebootWish = (typeof REBOOTS)[number]

/** How jumps of a model ended, as far as the journal keeps them. */
export interface JumpScore {
  readonly worked: number
  readonly failed: number
}

/** Whether the instance will ask for its address by DHCP, the only sign of life that it gives: it may have a static one
 *  from its config drive, or what the drive holds is not known. */
export type Addressing = 'dhcp' | 'static' | 'unknown'

/** Jumps of a model after which `auto` means kexec. */
export const ENOUGH_JUMPS = 3
/** From the jump to the first sign of life, where nothing was seen yet; and what is given beyond the usual. */
const FIRST_JUMP_MS = 240_000
const JUMP_MARGIN_MS = 60_000

/** Throws `input.invalid`, which names the field. */
export function rebootWish({ instanceInfo, driverInfo }: Pick<NodeRecord, 'instanceInfo' | 'driverInfo'>): RebootWish {
  const [at, given] =
    instanceInfo.reboot === undefined
      ? (['driver_info/reboot', driverInfo.reboot] as const)
      : (['instance_info/reboot', instanceInfo.reboot] as const)
  if (given === undefined || given === null) return 'auto'
  const wish = REBOOTS.find((one) => one === given)
  if (wish === undefined) throw new Fault('input.invalid', `${at}: must be one of ${REBOOTS.join(', ')}`)
  return wish
}

export interface RebootFacts {
  readonly wish: RebootWish
  readonly score: JumpScore
  readonly addressing: Addressing
  /** The kernel of the image is known. */
  readonly hasKernel: boolean
  /** Its firmware is changed before the instance starts. */
  readonly changesFirmware: boolean
  /** The ramdisk came on virtual media, which are taken out while the server is off. */
  readonly onMedia: boolean
  readonly onSoftwareRaid: boolean
  /** Why its TPM is against a jump; absent: it is not. */
  readonly tpmWhy?: string | undefined
  /** Which jumps its own are compared with. */
  readonly knowsModel: boolean
  /** It was started through its firmware since it was enrolled. */
  readonly wasCold: boolean
}

/** The first reason that stands against a jump decides. */
export function decideReboot(facts: RebootFacts): Reboot {
  const against = [...always(facts), ...(facts.wish === 'auto' ? byItself(facts) : [])][0]
  if (against !== undefined) return { how: 'cold', because: against }
  return {
    how: 'kexec',
    because: facts.wish === 'kexec' ? 'it was asked for' : `it worked ${facts.score.worked} times on this model`,
  }
}

function always(facts: RebootFacts): string[] {
  const reasons: readonly (readonly [boolean, string])[] = [
    [facts.wish === 'cold', 'it was asked for'],
    [!facts.hasKernel, 'no kernel is known of the image: its boot menu was not understood, or it was imported before'],
    [facts.changesFirmware, 'the settings of the firmware are changed for the instance'],
    [facts.onMedia, 'the ramdisk came on virtual media'],
    [facts.onSoftwareRaid, 'the root disk is a software RAID volume'],
    [facts.addressing === 'static', 'no sign of life would be seen: the config drive names static addresses'],
    [facts.tpmWhy !== undefined, facts.tpmWhy ?? ''],
  ]
  return reasons.flatMap(([holds, why]) => (holds ? [why] : []))
}

/** What only a person may overrule. */
function byItself({ wasCold, knowsModel, score, addressing }: RebootFacts): string[] {
  const reasons: readonly (readonly [boolean, string])[] = [
    [!wasCold, 'it is the first start of this server since it was enrolled'],
    [!knowsModel, 'its model is not known (properties/model)'],
    [score.failed > 0, `a jump failed on this model (${score.failed} of ${score.failed + score.worked})`],
    [score.worked < ENOUGH_JUMPS, `it worked ${score.worked} of the ${ENOUGH_JUMPS} times on this model that it needs`],
    [addressing === 'unknown', 'whether a sign of life would be seen is not known: the config drive is an image'],
  ]
  return reasons.flatMap(([holds, why]) => (holds ? [why] : []))
}

/** From the jump to the first sign of life: what is usual with this image, and a minute. Other images, and a few times
 *  of this one, may only make it longer: its end is a power cycle in the middle of a first boot. */
export function jumpLimitMs(usual: UsualTime | null | undefined): number {
  const highMs = usual && usual.of !== 'state' ? usual.highMs : 0
  const known = usual?.of === 'image' && usual.samples >= MIN_SAMPLES
  return (known ? highMs : Math.max(FIRST_JUMP_MS, highMs)) + JUMP_MARGIN_MS
}

/** Of `network_data.json` in a config drive. */
export function addressingOf(drive: unknown): Addressing {
  if (drive === null || drive === undefined) return 'dhcp'
  if (typeof drive !== 'object' || Buffer.isBuffer(drive)) return 'unknown'
  const { network_data: data } = drive as { network_data?: { networks?: unknown } }
  if (data === undefined || data === null) return 'dhcp'
  const networks = Array.isArray(data.networks) ? (data.networks as { type?: unknown }[]) : []
  return networks.some((one) => one?.type === 'ipv4_dhcp') ? 'dhcp' : 'static'
}
