/** Effect -> port call. Every one of these may run again after a crash and has the same end. */
import { Fault, isFault, never } from '../../../kit/fault.ts'
import type { Clock } from '../../../kit/clock.ts'
import type { BmcQueue } from '../../bmc/queue.ts'
import type { BmcRegistry } from '../../bmc/registry.ts'
import { FOUND, fakeInventory } from '../../fake/inspect.ts'
import { fakeStep, hardwareOf } from '../../fake/steps.ts'
import type { Store } from '../../store/port.ts'
import { addressingOf, decideReboot, rebootWish } from '../policy/reboot.ts'
import { noJumpWhy } from '../policy/tpm.ts'
import { keptVolumes } from '../policy/software-raid.ts'
import { modelOf } from '../query/model.ts'
import { JUMP_FAILED, JUMPED } from '../../store/durations.ts'
import { bootPlanOf } from '../workflow/boot-plans.ts'
import { changesFirmware } from '../workflow/effects.ts'
import { usesAgent } from '../policy/drivers.ts'
import type { BootSource } from './boot-source.ts'
import type { ImageSource } from './image-source.ts'
import { keepGiven } from '../../image-store/series.ts'
import type { LoaderRule } from './loader-rule.ts'
import type { Effect } from '../effect.ts'
import { currentStep, type NodeRecord, type Reboot } from '../record.ts'
import type { Sightings } from '../query/sightings.ts'
import { interfaceOf } from '../policy/interfaces.ts'
import type { BmcWorks } from './bmc-work.ts'
import { patchOf, performFirmware } from './firmware-mode.ts'
import type { BootConsoles } from './boot-consoles.ts'
import type { ChildSteps } from './child-steps.ts'
import type { MediaEffects } from './media-effects.ts'
import type { Performer } from './worker.ts'

export interface PerformParts {
  readonly bmcQueue: BmcQueue
  readonly bmcs: BmcRegistry
  /** Gives the boot services the node's present order, and waits until they have it. Nothing where there are none (fake
   *  hardware only). */
  readonly publish: (nodeUuid: string) => Promise<void>
  readonly media: Pick<MediaEffects, 'perform'>
  readonly images: ImageSource
  /** Whether its firmware would stop it. */
  readonly loaderRule: Pick<LoaderRule, 'apply'>
  readonly bootFiles: BootSource
  readonly store: Store
  readonly sightings: Sightings
  readonly clock: Clock
  readonly childSteps: Pick<ChildSteps, 'carryOut'>
  /** Reads what is shown of the node's settings and firmware. Does not fail: a BMC that cannot show them can be managed
   *  all the same. */
  readonly readHardware: (node: NodeRecord, signal: AbortSignal) => Promise<void>
  readonly bmcWorks: Pick<BmcWorks, 'perform'>
  /** Reads the inventory of a node through its BMC and stores it. */
  readonly inspect: (node: NodeRecord, signal: AbortSignal) => Promise<Partial<NodeRecord>>
  readonly powerTimeoutMs: number
  /** The ramdisk comes to the node through signed loaders. */
  readonly bootsThroughSigned: (node: NodeRecord) => Promise<boolean>
  readonly fakeDelayMs: number
  /** Absent: no console is read. */
  readonly consoles?: Pick<BootConsoles, 'begin'> | undefined
}

export function performer(parts: PerformParts): Performer {
  return { perform: (effect, node, signal) => perform(parts, effect, { node, signal }) }
}

type Found = Awaited<ReturnType<Performer['perform']>>

async function perform(
  parts: PerformParts,
  effect: Effect,
  at: { node: NodeRecord; signal: AbortSignal },
): Promise<Found> {
  const { node, signal: unwanted } = at
  const options = {
    priority: node.targetPowerState ? 'operator' : 'deploy',
    timeoutMs: parts.powerTimeoutMs,
    signal: unwanted,
  } as const
  switch (effect.do) {
    // Admission was switched off since.
    case 'admission':
      return undefined
    case 'bmc-check': {
      const seenOf = usesAgent(node) ? {} : { patch: { fake: hardwareOf(node, parts.clock.now()) } }
      // Fake hardware has no power state before somebody gives it one (Ironic's fake power interface).
      if (!usesAgent(node) && node.powerState === null) return seenOf
      const target = parts.bmcs.target(node)
      const check = { ...options, priority: 'operator' } as const
      const seen = await parts.bmcQueue.run(target, check, (bmc, signal) => bmc.power(signal))
      // A BMC that does not show how its server starts can be managed all the same.
      const mode = await parts.bmcQueue
        .run(target, check, async (bmc, signal) => bmc.firmwareMode?.read(signal))
        .catch(() => undefined)
      await parts.readHardware(node, unwanted)
      return { powerState: seen === 'on' ? 'power on' : 'power off', ...(mode ? { patch: patchOf(mode) } : seenOf) }
    }
    case 'image': {
      const image = await parts.images.resolve(node, unwanted)
      await parts.loaderRule.apply(node, image)
      const source = String(node.instanceInfo.image_source)
      await keepGiven(parts.store, node.uuid, { source, image: image.id, nowMs: parts.clock.now() })
      return { imageId: image.id, reboot: await rebootOf(parts, node, image) }
    }
    case 'boot-files':
      return { patch: { instanceBoot: await prepareBoot(parts, node, unwanted) } }
    case 'publish': {
      const atMs = parts.clock.now()
      parts.sightings.booting(node.uuid, atMs)
      await parts.store.journal.add({
        atMs,
        nodeUuid: node.uuid,
        kind: 'booting',
        detail: { generation: node.workflow.generation },
      })
      await parts.publish(node.uuid)
      return undefined
    }
    case 'boot-device':
      // The boot order of the firmware does it: the network first, where the boot services send an instance on to its
      // disk.
      if (interfaceOf(node, 'management') === 'noop') return undefined
      // The one-time choice for the ramdisk: a server that resets by itself later must not come back here unasked.
      await parts.bmcQueue.run(parts.bmcs.target(node), options, async (bmc, signal) => {
        const once = effect.device !== 'disk' && !effect.always
        await bmc.setBootDevice({ device: effect.device, once, efi: isEfi(node) }, signal)
        // What it shows is for people: some BMCs show nothing, and do as they were told.
        const shown = await bmc.bootDevice(signal).catch(() => undefined)
        if (shown) noteBootDevice(parts, node, { given: effect.device, shown: shown.device })
      })
      return undefined
    case 'media':
    case 'media-asked':
    case 'http-boot':
      await parts.media.perform(effect, node, unwanted)
      return undefined
    case 'power': {
      const to = effect.to === 'power on' ? 'on' : 'off'
      const timed = { ...options, timeoutMs: effect.timeoutMs ?? options.timeoutMs }
      // Before: firmware that finds nothing to boot has said all before the power state is proven.
      if (to === 'on') await readConsole(parts, node)
      await parts.bmcQueue
        .prove(parts.bmcs.target(node), effect.soft ? 'soft-off' : to, timed)
        .catch((error: unknown) => {
          if (!effect.soft || !isFault(error, 'bmc.unproven')) throw error
          throw new Fault('bmc.soft-off', `node ${node.uuid} did not shut down within ${timed.timeoutMs / 1000} s`, {
            cause: error,
          })
        })
      if (to === 'off') forgetOldSystem(parts, node)
      return undefined
    }
    case 'reset':
      await parts.bmcQueue.run(parts.bmcs.target(node), options, (bmc, signal) => bmc.reset(signal))
      void readConsole(parts, node)
      return { powerState: 'power on' }
    case 'wait':
      await parts.clock.sleep(effect.seconds * 1000, unwanted)
      return undefined
    case 'child-step':
      await parts.childSteps.carryOut({ node, child: effect.node, signal: unwanted })
      return undefined
    case 'firmware-mode':
      return performFirmware(parts, effect, at)
    case 'inspect':
      return { patch: await parts.inspect(node, unwanted) }
    case 'simulate':
      await parts.clock.sleep(parts.fakeDelayMs, unwanted)
      return simulate(parts, node)
    case 'bmc-prepare':
    case 'bmc-begin':
    case 'bmc-look':
      return parts.bmcWorks.perform(effect, node, unwanted)
    default:
      return never(effect)
  }
}

function noteBootDevice(
  { sightings, clock }: PerformParts,
  { uuid }: NodeRecord,
  { given, shown }: { readonly given: string; readonly shown: string | null },
): void {
  const sign = shown === given ? 'override-kept' : 'override'
  const detail = shown === given ? given : `given ${given}, shows ${shown ?? 'none'}`
  sightings.sign(uuid, sign, { atMs: clock.now(), detail })
}

const bootsRamdisk = (node: NodeRecord): boolean => node.workflow.phase === 'boot' && usesAgent(node)

async function readConsole({ consoles }: PerformParts, node: NodeRecord): Promise<void> {
  if (bootsRamdisk(node)) await consoles?.begin(node)
}

/** What a server asked for between the order to boot and its end is of the system that ran until then. */
function forgetOldSystem({ sightings, clock }: PerformParts, node: NodeRecord): void {
  if (bootsRamdisk(node)) sightings.booting(node.uuid, clock.now())
}

/** Decided before the server is touched, of what is known then. */
async function rebootOf(
  { store }: PerformParts,
  node: NodeRecord,
  image: { readonly bootKernel?: unknown },
): Promise<Reboot> {
  const wish = rebootWish(node)
  const count = async (state: string) => (await store.journal.durations(modelOf(node), state)).length
  const drive = node.configDrive ? await store.configDrive(node.uuid, node.configDrive) : null
  return decideReboot({
    wish,
    score: { worked: await count(JUMPED), failed: await count(JUMP_FAILED) },
    addressing: addressingOf(drive),
    hasKernel: image.bootKernel !== undefined,
    changesFirmware: changesFirmware(node),
    onMedia: bootPlanOf(node).servesIso,
    onSoftwareRaid: keptVolumes(node).length > 0,
    tpmWhy: noJumpWhy(node),
    knowsModel: typeof node.properties.model === 'string' && node.properties.model !== '',
    wasCold: node.startedColdAtMs !== null,
  })
}

/** Fetches what the instance boots. A config drive has no place there, as in Ironic, and an event says so. */
async function prepareBoot(parts: PerformParts, node: NodeRecord, signal: AbortSignal) {
  if (node.configDrive)
    await parts.store.journal.add({
      atMs: parts.clock.now(),
      nodeUuid: node.uuid,
      kind: 'trouble',
      detail: { what: 'the config drive is not used: an instance of deploy_interface ramdisk has no disk to hold it' },
    })
  return parts.bootFiles.resolve(node, signal)
}

/** A step of fake hardware. Inspection stores what it finds; the others change the record. */
async function simulate({ store, clock }: PerformParts, node: NodeRecord): Promise<Found> {
  const step = currentStep(node)
  const nowMs = clock.now()
  if (step?.by === 'interface') return { patch: fakeStep(node, step, nowMs) }
  if (step?.step !== 'inspect') return undefined
  const ports = await store.ports({ nodeUuid: node.uuid }, { limit: 1000, sortKey: 'id', descending: false })
  await store.putInventory(
    node.uuid,
    fakeInventory(
      node,
      ports.map(({ address }) => address),
    ),
  )
  return { patch: { properties: { ...FOUND, ...node.properties }, inspectionFinishedAtMs: nowMs } }
}

/** Null: not known yet. */
export const isEfi = (node: Pick<NodeRecord, 'properties' | 'bootMode'>): boolean | null => {
  const mode = bootMode(node)
  return mode === undefined ? null : mode === 'uefi'
}

/** What was read of the BMC or the agent, else `boot_mode` of properties/capabilities
 *  ("boot_mode:uefi,secure_boot:true"), which inspection fills; undefined when unknown. */
export function bootMode(node: Pick<NodeRecord, 'properties' | 'bootMode'>): 'uefi' | 'bios' | undefined {
  if (node.bootMode) return node.bootMode
  const capabilities = node.properties.capabilities
  const found =
    typeof capabilities === 'string' ? /(?:^|,)boot_mode:(uefi|bios)(?:,|$)/.exec(capabilities)?.[1] : undefined
  return found as 'uefi' | 'bios' | undefined
}
