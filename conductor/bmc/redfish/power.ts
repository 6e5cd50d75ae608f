/** Power through ComputerSystem.Reset: the first type that the BMC takes; "already so" is done; a refusal that names
 *  its reason is mended or told. Nothing here proves a state. */
import type { Clock } from '../../../kit/clock.ts'
import { Fault } from '../../../kit/fault.ts'
import type { PowerCommand } from '../controller.ts'
import type { RedfishClient, Resource } from './client.ts'
import { codeOf, faultOf, says, type Refusal } from './messages.ts'
import { powerOf, readSystem, resetAction, type Allowed } from './system.ts'

/** The reset types for each command, best first (Redfish schema ComputerSystem, ResetType). */
const TYPES = {
  on: ['On', 'ForceOn'],
  off: ['ForceOff'],
  'soft-off': ['GracefulShutdown', 'PushPowerButton'],
  reset: ['ForceRestart', 'PowerCycle'],
  nmi: ['Nmi'],
} as const
export type ResetCommand = keyof typeof TYPES

/** The type to ask for; undefined when the BMC names its types and none does. */
export const resetType = (command: ResetCommand, allowed: Allowed): string | undefined =>
  allowed === null ? TYPES[command][0] : TYPES[command].find((type) => allowed.includes(type))

/** iDRAC 10 refuses "on" for up to a minute after "off". */
const AGAIN_MS = 10_000
const TRIES = 6
const CONFLICT = ['ActionParameterValueConflict', 'InvalidOperationForSystemState', 'ResourceInUse']

export interface PowerParts {
  readonly client: RedfishClient
  readonly clock: Clock
  /** The path of the system. */
  readonly path: string
}

/** Work at the system of a BMC, wherever its path is now. */
export type AtSystem = <T>(signal: AbortSignal, work: (parts: PowerParts) => Promise<T>) => Promise<T>

/** Asks for a power state; does nothing when the system is in it. */
export async function setPower(parts: PowerParts, command: PowerCommand, signal: AbortSignal): Promise<void> {
  const to = command === 'on' ? 'on' : 'off'
  for (let tries = 1; ; tries += 1) {
    const system = await readSystem(parts.client, parts.path, signal)
    // A system that is powering on counts as on, and needs no second order.
    if (powerOf(system.body) === to) return
    const refusal = await askReset(parts, { system, command }, signal)
    if (!refusal) return
    const now = await readSystem(parts.client, parts.path, signal)
    if (powerOf(now.body) === to) return
    if (!mayPass(refusal) || tries >= TRIES) throw faultOf(refusal, `reset "${command}" of ${parts.path}`)
    await parts.clock.sleep(AGAIN_MS, signal)
  }
}

/** Starts the machine anew; switches on one that is off. */
export async function restart(parts: PowerParts, signal: AbortSignal): Promise<void> {
  const system = await readSystem(parts.client, parts.path, signal)
  if (powerOf(system.body) === 'off') return setPower(parts, 'on', signal)
  const refusal = await askReset(parts, { system, command: 'reset' }, signal)
  if (refusal) throw faultOf(refusal, `reset of ${parts.path}`)
}

export async function injectNmi(parts: PowerParts, signal: AbortSignal): Promise<void> {
  const system = await readSystem(parts.client, parts.path, signal)
  const refusal = await askReset(parts, { system, command: 'nmi' }, signal)
  if (refusal) throw faultOf(refusal, `NMI to ${parts.path}`)
}

async function askReset(
  { client }: PowerParts,
  { system, command }: { system: Resource; command: ResetCommand },
  signal: AbortSignal,
): Promise<Refusal | undefined> {
  const { target, allowed } = await resetAction(client, system, signal)
  const type = resetType(command, allowed)
  if (!type)
    throw new Fault(
      'node.unsupported',
      `the BMC offers none of ${TYPES[command].join(', ')}; it has ${allowed?.join(', ')}`,
    )
  return client.post(target, { ResetType: type }, signal)
}

/** It may work in a moment: the BMC is in a state that ends by itself. */
const mayPass = (refusal: Refusal): boolean => says(refusal, ...CONFLICT) || codeOf(refusal) === 'bmc.unready'
