/** What a tenant that leases a node is told: neither how its BMC is reached nor by whom, whatever text that stands in,
 *  nor the switches of the site. Pure. */
import { Fault, FAULTS, isFault, type FaultCode } from '../../kit/fault.ts'
import type { Drift } from '../node/policy/drift.ts'
import type { PollSeen } from '../node/query/account.ts'
import type { NodeRecord } from '../node/record.ts'
import type { EventRecord } from '../store/port.ts'

/** Shorter values than that would blank out half of every sentence. */
const MIN_LENGTH = 3
const OWN_FAULT = /^(bmc|run)\./

type Leased = Pick<NodeRecord, 'driverInfo'>

const bland = (code: FaultCode): string => `${FAULTS[code].description} (${FAULTS[code].remedy})`

/** A text of a fault of the BMC becomes what its code means; elsewhere the values of driver_info are left out. */
export function veilText(text: string, node: Leased, code?: unknown): string {
  const values = Object.values(node.driverInfo).filter(
    (value): value is string => typeof value === 'string' && value.length >= MIN_LENGTH,
  )
  const tells = /\bBMC \S/.test(text) || values.some((value) => text.includes(value))
  if (!tells) return text
  if (typeof code === 'string' && OWN_FAULT.test(code) && Object.hasOwn(FAULTS, code)) return bland(code as FaultCode)
  // The longest first: a name may be part of another.
  const left = values
    .toSorted((a, b) => b.length - a.length)
    .reduce((sentence, value) => sentence.replaceAll(value, '…'), text)
  return left.replace(/\bBMC [\w.:[\]%-]*[\d.:][\w.:[\]%-]*/g, 'the BMC').replace(/\bthe user \S+ or/g, 'the user or')
}

export function veilNode(node: NodeRecord): NodeRecord {
  const code = node.lastFault?.code
  const veiled = (text: string | null) => (text === null ? null : veilText(text, node, code))
  return { ...node, lastError: veiled(node.lastError), maintenanceReason: veiled(node.maintenanceReason) }
}

export function veilEvent(event: EventRecord, node: Leased): EventRecord {
  const veiled = (value: unknown) => (typeof value === 'string' ? veilText(value, node, event.detail.fault) : value)
  const told = Object.entries(event.detail).filter(([key]) => event.kind !== 'switch-port' || key === 'mac')
  return {
    ...event,
    detail: Object.fromEntries(told.map(([key, value]) => [key, key === 'fault' ? value : veiled(value)])),
  }
}

export const veilPoll = (poll: PollSeen | undefined, node: Leased): PollSeen | undefined =>
  poll && { ...poll, fault: poll.fault === null ? null : veilText(poll.fault, node) }

/** Settings of a BIOS may name the BMC and its users. */
export const veilDrift = (drift: readonly Drift[], node: Leased): Drift[] =>
  drift.map((one) => ({
    ...one,
    applied: veilText(one.applied, node),
    now: one.now === null ? null : veilText(one.now, node),
  }))

/** Any other error passes. */
export const veilFault = (error: unknown): unknown =>
  isFault(error) && OWN_FAULT.test(error.code) ? new Fault(error.code, FAULTS[error.code].description) : error

/** A refusal may quote what others wrote about the node. */
export const veilRefusal = (error: unknown, node: Leased): unknown =>
  isFault(error) ? new Fault(error.code, veilText(error.detail, node, error.code), { field: error.field }) : error

/** Every text of a document, at any depth. */
export function veilTexts(value: unknown, node: Leased): unknown {
  if (typeof value === 'string') return veilText(value, node)
  if (Array.isArray(value)) return value.map((item: unknown) => veilTexts(item, node))
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, veilTexts(inner, node)]))
}

/** Agents of Ironic report `bmc_address`, `bmc_v6address` and `bmc_mac`; what a plugin adds may call them something
 *  else. */
const OF_BMC = /(^|_)(bmc|ipmi|idrac|ilo)(_|$)/i

export function veilInventory(value: unknown, node: Leased): unknown {
  if (Array.isArray(value)) return value.map((item: unknown) => veilInventory(item, node))
  if (value === null || typeof value !== 'object') return veilTexts(value, node)
  const told = Object.entries(value).filter(([key]) => !OF_BMC.test(key))
  return Object.fromEntries(told.map(([key, inner]) => [key, veilInventory(inner, node)]))
}
