/** What a change of a node is told as: one event per arrow that was followed, per change of power, per new error.
 *  Pure. */
import { isoTime } from '../../../kit/clock.ts'
import { FAULTS } from '../../../kit/fault.ts'
import type { UsualTime } from '../policy/usual-time.ts'
import type { NewEvent } from '../../store/port.ts'
import type { Move } from '../workflow/context.ts'
import type { NodeRecord, Reboot } from '../record.ts'
import { modelOf } from './model.ts'
import { comparedOf } from './usual.ts'
import { ALIASES, type InterfaceName } from '../policy/interfaces.ts'

/** One for each interface that was chosen by a name that is taken for another. */
export const aliasEvents = (
  before: NodeRecord['interfaces'],
  { uuid, interfaces }: Pick<NodeRecord, 'uuid' | 'interfaces'>,
  atMs: number,
): NewEvent[] =>
  Object.entries(interfaces).flatMap(([name, chosen]) => {
    const served = ALIASES[name as InterfaceName]?.[chosen]
    if (served === undefined || before[name] === chosen) return []
    return [{ atMs, nodeUuid: uuid, kind: 'interface-alias', detail: { interface: name, chosen, served } }]
  })

/** What the first state that was left is compared by; the states behind it lasted no time. `lost`: its agent was, and
 *  the step begins again. */
function whatEnded(before: NodeRecord, after: NodeRecord): Record<string, unknown> {
  const { work, firmware } = comparedOf(before)
  const image = after.workflow.order === 'deploy' ? after.workflow.imageId : null
  const modelBefore = modelOf(before)
  const again =
    after.workflow.stepIndex === before.workflow.stepIndex && after.workflow.attempt > before.workflow.attempt
  return {
    work,
    ...(firmware ? { firmware } : {}),
    ...(image ? { image } : {}),
    // The next server of which nothing is known yet is compared with it.
    ...(modelBefore === modelOf(after) ? {} : { modelBefore }),
    ...(again || after.workflow.reboot?.failed ? { lost: true } : {}),
  }
}

/** The decision how the image is started, and how a jump into it ended. */
function rebootEvents(
  before: NodeRecord,
  after: NodeRecord,
  { event, atMs }: { event: (kind: string, detail: Record<string, unknown>) => NewEvent; atMs: number },
): NewEvent[] {
  const { reboot, phase } = before.workflow
  const now = after.workflow.reboot
  const ok = after.provisionState === 'active' && !now?.failed
  // A jump that was not ordered, and one during which an operator restarted the server, say nothing about the model.
  const tried = phase === 'jump' && reboot?.jumpedAtMs !== undefined && before.agent !== null
  if (tried && after.workflow.phase !== 'jump' && (ok || now?.failed)) {
    const took = { model: modelOf(before), tookMs: atMs - reboot.jumpedAtMs }
    return [event('jump', { ok, ...took, ...(ok ? {} : { why: now?.because ?? after.lastError, ...faultOf(now) }) })]
  }
  if (!now || (now.how === reboot?.how && now.because === reboot.because)) return []
  return [event('reboot', { how: now.how, because: now.because, ...faultOf(now) })]
}

/** What kept a server from a jump, by name, and what to do. */
const faultOf = (reboot: Reboot | null | undefined): Record<string, unknown> =>
  reboot?.fault && Object.hasOwn(FAULTS, reboot.fault)
    ? { fault: reboot.fault, remedy: FAULTS[reboot.fault].remedy }
    : {}

const slowDetail = (node: NodeRecord, { lowMs, highMs, samples, of }: UsualTime): Record<string, unknown> => ({
  state: node.provisionState,
  work: comparedOf(node).work,
  model: modelOf(node),
  since: isoTime(node.provisionUpdatedAtMs ?? node.createdAtMs),
  usual_seconds: [lowMs / 1000, highMs / 1000],
  samples,
  compared_by: of,
})

export function changesOf(
  before: NodeRecord,
  after: NodeRecord,
  at: { atMs: number; moves: readonly Move[] },
): NewEvent[] {
  const event = (kind: string, detail: Record<string, unknown>): NewEvent => ({
    atMs: at.atMs,
    nodeUuid: after.uuid,
    kind,
    detail,
  })
  const model = modelOf(after)
  const events = at.moves.map(({ from, to, on, tookMs }, i) =>
    event('state', { from, to, on, tookMs, model, ...(i === 0 ? whatEnded(before, after) : {}) }),
  )
  const { usual } = before.workflow
  if (usual && usual.lateAtMs !== null && after.workflow.usual?.lateAtMs === null && at.moves.length === 0)
    events.push(event('slow', slowDetail(before, usual)))
  // A fence was in the record before it was sent.
  const fenced =
    before.workflow.pendingEffects.length === 0 &&
    before.targetPowerState !== null &&
    before.targetPowerState === after.powerState
  events.push(...rebootEvents(before, after, { event, atMs: at.atMs }))
  if (before.powerState !== after.powerState && !fenced) {
    // While nothing was owed, nobody here asked for it.
    const asked = before.workflow.pendingEffects.length > 0
    events.push(event('power', { from: before.powerState, to: after.powerState, asked }))
  }
  if (after.lastError !== null && after.lastError !== before.lastError)
    events.push(
      event('error', { text: after.lastError, fault: after.lastFault?.code ?? null, state: after.provisionState }),
    )
  if (before.health !== after.health) events.push(event('health', { from: before.health, to: after.health }))
  events.push(...aliasEvents(before.interfaces, after, at.atMs))
  if (before.maintenance !== after.maintenance)
    events.push(event('maintenance', { on: after.maintenance, reason: after.maintenanceReason, fault: after.fault }))
  if (
    before.workflow.lockedAtMs !== null &&
    after.lastFault?.code === 'node.lock-broken' &&
    before.lastFault !== after.lastFault
  )
    events.push(event('lock-broken', { pendingEffects: before.workflow.pendingEffects.map((effect) => effect.do) }))
  return events
}
