/** Phase -> its effects, in order. Pure: `run/worker.ts` performs them. */
import { usesAgent } from '../policy/drivers.ts'
import { dropsSecureBoot, firmwareTargetOf, type FirmwareTarget } from '../policy/firmware-target.ts'
import { managementOf } from '../policy/interfaces.ts'
import type { Phase } from './arrows.ts'
import { bootPlanOf } from './boot-plans.ts'
import type { Effect } from '../effect.ts'
import { currentStep, type NodeRecord } from '../record.ts'

const OFF: Effect = { do: 'power', to: 'power off' }
const ON: Effect = { do: 'power', to: 'power on' }

/** The instance is booted from the network each time, and nothing is written to a disk. */
export const deploysRamdisk = (node: Pick<NodeRecord, 'interfaces'>): boolean => node.interfaces.deploy === 'ramdisk'

export function effectsOf(phase: Phase, node: NodeRecord): readonly Effect[] {
  const real = usesAgent(node)
  const publish: readonly Effect[] = real ? [{ do: 'publish' }] : []
  switch (phase) {
    case 'verify':
      // A ramdisk instance that is taken over must find its files when it starts the next time.
      return real && node.provisionState === 'adopting' && deploysRamdisk(node)
        ? [{ do: 'bmc-check' }, { do: 'boot-files' }, ...publish]
        : [{ do: 'bmc-check' }]
    case 'prepare':
      return real ? preparation(node) : []
    case 'boot':
      return [...publish, ...withFirmware(toRamdisk(node), ramdiskFirmware(node))]
    case 'start':
      return real
        ? [
            ...publish,
            ...withFirmware(
              restart(node, node.instanceBoot ? NETWORK_INSTANCE : bootPlanOf(node).toDisk),
              instanceFirmware(node),
            ),
          ]
        : [ON]
    case 'jump':
      // Where it starts from when it restarts by itself.
      return real ? [...publish, ...bootPlanOf(node).toDisk] : []
    case 'halt':
    case 'teardown':
      // A node that must never be off keeps its agent, which does nothing without an order.
      return node.disablePowerOff ? publish : [...publish, OFF]
    case 'step':
      return stepEffects(node)
    // What the start of the instance has set before.
    case 'firmware-mode':
      return real ? proofOf(instanceFirmware(node)) : []
    case 'bmc-begin':
      return [{ do: 'bmc-prepare' }, { do: 'bmc-begin' }]
    case 'agent':
    case 'bmc':
    case 'rest':
      return []
  }
}

/** A restart of the server in which its BMC carries out what was ordered: into the ramdisk, so that no system of a
 *  former user runs; after a service without further steps of the agent, into its instance. */
export function restartForBmc(node: NodeRecord): readonly Effect[] {
  const { order, phase, steps, stepIndex } = node.workflow
  // One that was off is switched on, also where it must not be switched off.
  if (phase === 'firmware-mode') return node.powerState === 'power off' ? [OFF, ON] : restart(node, [])
  const runsInstance = order === 'service' && !steps.slice(stepIndex).some(({ by }) => by === 'agent')
  // The present task is not ended by the proof of another change, which comes when the order is over.
  return effectsOf(runsInstance ? 'start' : 'boot', node).filter((effect) => !isProof(effect))
}

const isProof = (effect: Effect): boolean => effect.do === 'firmware-mode' && effect.how === 'prove'

/** Secure Boot stays on for a ramdisk that comes through signed loaders; iPXE is not signed, and a boot ISO may not be.
 *  A clean ends what an instance wanted, and BIOS has no Secure Boot. The boot mode of the instance is set before the
 *  ramdisk, because firmware forgets boot entries when the mode changes. */
function ramdiskFirmware(node: NodeRecord): Firmware {
  if (!managementOf(node).firmwareMode) return {}
  const { order } = node.workflow
  const bootMode = order === 'deploy' ? firmwareTargetOf(node).bootMode : undefined
  const ends = bootMode === 'bios' || (order === 'clean' && dropsSecureBoot(node))
  return {
    ...(bootMode ? { bootMode } : {}),
    ...(node.secureBoot ? { secureBoot: false, ...(ends ? {} : { unlessSigned: true }) } : {}),
  }
}

/** A deploy whose instance does not name Secure Boot switches it off: its image may have no signed loader. */
function instanceFirmware(node: NodeRecord): FirmwareTarget {
  if (!managementOf(node).firmwareMode) return {}
  const wanted = firmwareTargetOf(node)
  const drops = node.workflow.order === 'deploy' && !wanted.secureBoot && dropsSecureBoot(node)
  return drops ? { ...wanted, secureBoot: false } : wanted
}

/** The start of the instance sets something in the firmware, which only a cold one takes up. */
export function changesFirmware(node: NodeRecord): boolean {
  const { bootMode, secureBoot } = instanceFirmware(node)
  return (
    (bootMode !== undefined && bootMode !== node.bootMode) ||
    (secureBoot !== undefined && secureBoot !== node.secureBoot)
  )
}

type Firmware = FirmwareTarget & { readonly unlessSigned?: true }

/** Sets the firmware before the start; where Secure Boot is switched on for an instance, waits until it holds. */
function withFirmware(restarting: readonly Effect[], wanted: Firmware): readonly Effect[] {
  if (wanted.bootMode === undefined && wanted.secureBoot === undefined) return restarting
  const set: Effect = { do: 'firmware-mode', ...wanted, how: 'set' }
  const at = restarting.findIndex((effect) => effect.do === 'boot-device' || effect.do === 'http-boot')
  return [...restarting.slice(0, at), set, ...restarting.slice(at), ...proofOf(wanted)]
}

const proofOf = ({ secureBoot }: FirmwareTarget): readonly Effect[] =>
  secureBoot ? [{ do: 'firmware-mode', secureBoot, how: 'prove' }] : []

/** What a deploy needs is fetched before the server is touched. */
function preparation(node: NodeRecord): readonly Effect[] {
  if (deploysRamdisk(node)) return [{ do: 'boot-files' }]
  return node.workflow.steps.some(({ step }) => step === 'write_image') ? [{ do: 'image' }] : []
}

const NETWORK_INSTANCE: readonly Effect[] = [{ do: 'boot-device', device: 'pxe', always: true }]

/** A server that must not be switched off is reset instead (Ironic's disable_power_off). */
const restart = (node: NodeRecord, choices: readonly Effect[]): readonly Effect[] =>
  node.disablePowerOff ? [...choices, { do: 'reset' }] : [OFF, ...choices, ON]

function toRamdisk(node: NodeRecord): readonly Effect[] {
  const { toRamdisk: choices, onTheWay } = bootPlanOf(node)
  return [...restart(node, choices), ...onTheWay]
}

/** Boots a server that is off into the ramdisk; nothing more than power for one whose agent runs. */
function switchOn(node: NodeRecord): readonly Effect[] {
  const { toRamdisk: choices, onTheWay, servesIso } = bootPlanOf(node)
  if (servesIso && node.agent !== null) return [ON]
  return [...(servesIso ? [{ do: 'publish' } as const] : []), ...choices, ON, ...onTheWay]
}

function stepEffects(node: NodeRecord): readonly Effect[] {
  const step = currentStep(node)
  if (step?.children) return step.children.map((child) => ({ do: 'child-step', node: child }))
  // Fake hardware has no agent: the conductor carries out all of its steps.
  if (step && step.by !== 'conductor') return [{ do: 'simulate' }]
  switch (step?.step) {
    case 'power_on':
      return switchOn(node)
    case 'power_off':
      return [OFF]
    case 'reboot':
      return usesAgent(node) ? [{ do: 'publish' }, ...toRamdisk(node)] : [OFF, ON]
    case 'inspect':
      return [{ do: 'inspect' }]
    case 'wait':
      return [{ do: 'wait', seconds: Number(step.args.seconds ?? 0) }]
    default:
      return []
  }
}
