/** What an agent reports of its order becomes an event of the node: a finished step, a failure, an inventory. */
import type { Clock } from '../../kit/clock.ts'
import { Fault, FAULTS, isFault, type FaultCode } from '../../kit/fault.ts'
import type { Log } from '../../kit/log.ts'
import type { Random } from '../../kit/random.ts'
import type { Report } from '../api/agent-wire.ts'
import type { Sightings } from '../node/query/sightings.ts'
import { imageType } from '../node/policy/partition-source.ts'
import { isSoftwareRaidStep, raidedBy, rebuiltVolumes, softwareRaidOrder } from '../node/policy/software-raid.ts'
import { currentStep, hostNameOf, orderId, type NodeRecord } from '../node/record.ts'
import { comparedOf } from '../node/query/usual.ts'
import { believes } from '../node/workflow/belief.ts'
import type { JumpReady, StepEvent } from '../node/workflow/events.ts'
import type { Store } from '../store/port.ts'
import { applyRules } from './apply-rules.ts'
import { addPorts, linkPorts, noteCards } from './found-ports.ts'
import { hookData } from './hooks.ts'
import { inspectedProperties, ironicInventory } from './inspection.ts'
import { movedFor } from './moved.ts'
import type { RuleCallParts } from './rule-calls.ts'

export interface ResultParts {
  readonly store: Store
  readonly sightings: Sightings
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** What api-call of inspection rules may call. */
  readonly calls: RuleCallParts
  /** Ports that one inventory may make. */
  readonly limits: { readonly portsPerReport: number }
}

/** An inventory in Ironic's form. */
export interface InspectedHardware {
  readonly document: { inventory: Parameters<typeof hookData>[0]; plugin_data: Record<string, unknown> }
  readonly macs: readonly string[]
  /** Ports that are made of these cards are answered when they boot from the network. */
  readonly pxeEnabled?: boolean
  readonly properties: Record<string, unknown>
}

/** Disks whose erasure is kept in the record of the node. */
const MAX_ERASED = 64
const MAX_VERSION = 256
const READY = { ready: true } as const

export function failedEvent(node: NodeRecord, failed: { code: string; text: string }, log: Log): StepEvent {
  const code = (Object.hasOwn(FAULTS, failed.code) ? failed.code : 'agent.broken') as FaultCode
  const fault = new Fault(code, failed.text)
  log.warn({ node: node.uuid, fault: code }, fault.detail)
  return { type: 'agent-failed', orderId: orderId(node), fault: { code, text: fault.message, retry: fault.retry } }
}

/** Of the BIOS or UEFI; undefined: the inventory does not name it. */
function versionOf(inventory: object): string | undefined {
  const { system_vendor: system } = inventory as { system_vendor?: { firmware?: { version?: unknown } } }
  const version = system?.firmware?.version
  return typeof version === 'string' && version !== '' ? version.slice(0, MAX_VERSION) : undefined
}

/** Stores an inventory, adds ports for its network cards, and returns the fields that it and the inspection rules
 *  change. */
export async function storeInventory(
  node: NodeRecord,
  found: InspectedHardware,
  parts: ResultParts,
): Promise<Partial<NodeRecord>> {
  const { store, clock, log, calls } = parts
  const { inventory, plugin_data: plugin } = found.document
  const hooks = hookData(inventory, plugin)
  await addPorts(node, found, parts)
  await linkPorts(node, hooks.links, parts)
  await noteCards(node, inventory.interfaces, parts)
  const { patch, pluginData } = await applyRules(
    { ...node, properties: found.properties },
    { inventory, plugin_data: hooks.pluginData },
    { store, log, calls },
  )
  await store.putInventory(node.uuid, { inventory, plugin_data: pluginData })
  const firmwareVersion = versionOf(inventory)
  return {
    properties: found.properties,
    ...(firmwareVersion === undefined ? {} : { firmwareVersion }),
    ...patch,
    inspectionFinishedAtMs: clock.now(),
  }
}

/** The changes that a finished step makes to the node as it is now. Runs in the mailbox of the node, so that no
 *  concurrent change is lost. */
export async function doneEvent(
  node: NodeRecord,
  done: NonNullable<Report['done']>,
  parts: ResultParts,
): Promise<StepEvent> {
  const { store, clock, sightings } = parts
  const { inventory, rootDisk, timings, writtenBytes, moved, erased, volumes } = done
  sightings.of(node.uuid).timings = timings ?? {}
  const step = currentStep(node)
  const isErase = step?.step.startsWith('erase_devices') ?? false
  let patch: Partial<NodeRecord> = isErase
    ? { lastErase: { atMs: clock.now(), step: step?.step ?? '', disks: (erased ?? []).slice(0, MAX_ERASED) } }
    : {}
  try {
    if (inventory && believes(node, 'inventory')) {
      const macs = inventory.nics.map((nic) => nic.mac)
      const properties = inspectedProperties(node, inventory, rootDisk)
      const document = ironicInventory(inventory, { hostName: hostNameOf(node), root: rootDisk })
      patch = await storeInventory(node, { document, macs, properties }, parts)
    } else if (step && isSoftwareRaidStep(step)) {
      patch = raidedBy(node, softwareRaidOrder(node, step), { volumes: volumes ?? [], nowMs: clock.now() })
    } else if (isErase && rebuiltVolumes(node).length > 0) {
      const again = { remove: false, create: rebuiltVolumes(node) }
      patch = { ...patch, ...raidedBy(node, again, { volumes: volumes ?? [], nowMs: clock.now() }) }
    } else if (rootDisk && believes(node, 'image')) {
      if (imageType(node.instanceInfo) === 'partition' && !done.partitioned)
        throw new Fault(
          'agent.broken',
          'the deploy ramdisk is older than partition images: run "rackward image build ramdisk", and set boot.kernel and boot.initrd',
        )
      patch = {
        lastErase: null,
        instanceInfo: {
          ...node.instanceInfo,
          root_disk: { name: rootDisk.name, serial: rootDisk.serial, wwn: rootDisk.wwn, size: rootDisk.sizeBytes },
        },
      }
    }
  } catch (error) {
    if (!isFault(error, 'inspect.rule') && !isFault(error, 'raid.failed') && !isFault(error, 'agent.broken'))
      throw error
    return failedEvent(node, { code: error.code, text: error.detail }, parts.log)
  }
  await store.journal.add({
    atMs: clock.now(),
    nodeUuid: node.uuid,
    kind: 'agent-done',
    detail: {
      order: node.workflow.order,
      step: step ? `${step.interface}.${step.step}` : null,
      timings: timings ?? {},
      ...(rootDisk && believes(node, 'image') ? { compared: comparedOf(node) } : {}),
      writtenBytes: writtenBytes ?? 0,
      ...(moved ? { moved: await movedFor(node, moved, store) } : {}),
      ...(isErase ? { erased: (erased ?? []).slice(0, MAX_ERASED) } : {}),
    },
  })
  const jump = done.jump && (done.jump.ready ? READY : notReady(done.jump))
  return { type: 'agent-done', orderId: orderId(node), patch, ...(jump ? { jump } : {}) }
}

function notReady({ why = '', code }: { why?: string | undefined; code?: string | undefined }): JumpReady {
  const isKnown = code !== undefined && Object.hasOwn(FAULTS, code)
  return { ready: false, why, ...(isKnown ? { fault: code as FaultCode } : {}) }
}
