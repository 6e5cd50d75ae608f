/** Power through ComputerSystem.Reset: the first type that the BMC takes; "already so" is done; a refusal that names its reason is mended or told. Nothing here proves a state. */
import type { Clock } from '../../../kit/clock.ts'
import { Fault } from '../../../kit/fault.ts'
import type { PowerWish } from '../controller.ts'
import type { RedfishClient, Resource } from './client.ts'
import { codeOf, faultOf, says, type Refusal } from './messages.ts'
import { powerOf, readSystem, resetAction, type Allowed } from './system.ts'

/** What is wished for, and the reset types that do it, best first (Redfish schema ComputerSystem, ResetType). */
const TYPES = {
  on: ['On', 'ForceOn'],
  off: ['ForceOff'],
  'soft-off': ['GracefulShutdown', 'PushPowerButton'],
  reset: ['ForceRestart', 'PowerCycle'],
  nmi: ['Nmi'],
} as const
export type ResetWish = keyof typeof TYPES

/** The type to ask for; undefined when the BMC names its types and none does. */
export const resetType = (wish: ResetWish, allowed: Allowed): string | undefined =>
  allowed === null ? TYPES[wish][0] : TYPES[wish].find((type) => allowed.includes(type))

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

/** Asks for a power state; does nothing when the system is in it. */
export async function setPower(parts: PowerParts, wish: PowerWish, signal: AbortSignal): Promise<void> {
  const to = wish === 'on' ? 'on' : 'off'
  for (let tries = 1; ; tries += 1) {
    const system = await readSystem(parts.client, parts.path, signal)
    // A system that is powering on counts as on, and needs no second order.
    if (powerOf(system.body) === to) return
    const refusal = await askReset(parts, { system, wish }, signal)
    if (!refusal) return
    const now = await readSystem(parts.client, parts.path, signal)
    if (powerOf(now.body) === to) return
    if (!mayPass(refusal) || tries >= TRIES) throw faultOf(refusal, `reset "${wish}" of ${parts.path}`)
    await parts.clock.sleep(AGAIN_MS, signal)
  }
}

/** Starts the machine anew; switches on one that is off. */
export async function restart(parts: PowerParts, signal: AbortSignal): Promise<void> {
  const system = await readSystem(parts.client, parts.path, signal)
  if (powerOf(system.body) === 'off') return setPower(parts, 'on', signal)
  const refusal = await askReset(parts, { system, wish: 'reset' }, signal)
  if (refusal) throw faultOf(refusal, `reset of ${parts.path}`)
}

export async function injectNmi(parts: PowerParts, signal: AbortSignal): Promise<void> {
  const system = await readSystem(parts.client, parts.path, signal)
  const refusal = await askReset(parts, { system, wish: 'nmi' }, signal)
  if (refusal) throw faultOf(refusal, `NMI to ${parts.path}`)
}

async function askReset(
  { client }: PowerParts,
  { system, wish }: { system: Resource; wish: ResetWish },
  signal: AbortSignal,
): Promise<Refusal | undefined> {
  const { target, allowed } = await resetAction(client, system, signal)
  const type = resetType(wish, allowed)
  if (!type)
    throw new Fault(
      'node.unsupported',
      `the BMC offers none of ${TYPES[wish].join(', ')}; it has ${allowed?.join(', ')}`,
    )
  return client.post(target, { ResetType: type }, signal)
}

/** It may work in a moment: the BMC is in a state that ends by itself. */
const mayPass = (refusal: Refusal): boolean => says(refusal, ...CONFLICT) || codeOf(refusal) === 'bmc.unready'
