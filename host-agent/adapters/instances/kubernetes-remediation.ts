/** Requests to remedy a node, as NodeHealthCheck of medik8s makes them: what is told of each. A request is a question:
 *  the mesh looks at the host, and what it finds by itself is written into the request. Pure. */
import * as z from 'zod/mini'
import type { IncidentState } from '../../protocol/records.ts'
import { ObjectName, Uid } from './kubernetes-objects.ts'

export const REMEDIATIONS = '/apis/remediation.rackward.io/v1alpha1'
export const RESOURCE = 'rackwardremediations'
/** Where one request was made from a template of many, its name is not that of the node. */
const NODE_NAME = 'remediation.medik8s.io/node-name'
/** NodeHealthCheck has turned to another remediator, or to a person. */
const TIMED_OUT = 'remediation.medik8s.io/nhc-timed-out'
const MAX_MESSAGE = 500

const Text = z.string().check(z.maxLength(32_768))
const ConditionShape = z.looseObject({
  type: Text,
  status: Text,
  reason: z.optional(Text),
  message: z.optional(Text),
  lastTransitionTime: z.optional(Text),
})
export const RemediationShape = z.object({
  metadata: z.object({
    name: ObjectName,
    namespace: ObjectName,
    uid: Uid,
    resourceVersion: Text,
    deletionTimestamp: z.optional(Text),
    annotations: z.optional(z.object({ [NODE_NAME]: z.optional(Text), [TIMED_OUT]: z.optional(z.string()) })),
  }),
  status: z.optional(z.object({ conditions: z.optional(z.array(ConditionShape)) })),
})
export type Remediation = z.infer<typeof RemediationShape>
type RemedyCondition = z.infer<typeof ConditionShape>

/** What the mesh takes a host for. */
export interface RemedyStanding {
  /** Of its incident, as long as that is open. */
  readonly incident: { readonly state: IncidentState; readonly isProven: boolean } | null
  readonly says: string
}

export interface Answer {
  /** The mesh shall look at this host; null: there is nothing to ask. */
  readonly ask: string | null
  /** Undefined: they stand there already. */
  readonly conditions: readonly RemedyCondition[] | undefined
}

export const hostOf = ({ metadata }: Remediation): string => metadata.annotations?.[NODE_NAME] ?? metadata.name

const DONE: ReadonlySet<IncidentState> = new Set(['evacuated', 'returning', 'recovered'])

/** `standing`: undefined where the mesh has no such host. Null: nothing is to be done for it. */
export function answerTo(request: Remediation, standing: RemedyStanding | undefined, nowMs: number): Answer | null {
  const before = request.status?.conditions ?? []
  const succeeded = before.find(({ type }) => type === 'Succeeded')
  // It is over: the one who asked removes it when the node is well.
  if (request.metadata.deletionTimestamp !== undefined || succeeded?.status === 'True') return null
  const told = toldOf(request, standing)
  const lastTransitionTime = `${new Date(nowMs).toISOString().slice(0, 19)}Z`
  const conditions = told.conditions.map(([type, status]) => {
    const one = { type, status, reason: told.reason, message: told.says.slice(0, MAX_MESSAGE) }
    const old = before.find((other) => other.type === type)
    return {
      ...one,
      lastTransitionTime: old?.status === status ? (old.lastTransitionTime ?? lastTransitionTime) : lastTransitionTime,
    }
  })
  const isNew = conditions.some((one) => {
    const old = before.find(({ type }) => type === one.type)
    return old?.status !== one.status || old.reason !== one.reason || old.message !== one.message
  })
  const others = before.filter(({ type }) => !conditions.some((one) => one.type === type))
  return { ask: told.ask ? hostOf(request) : null, conditions: isNew ? [...others, ...conditions] : undefined }
}

interface Told {
  readonly reason: string
  readonly says: string
  readonly ask: boolean
  readonly conditions: readonly (readonly [type: string, status: 'True' | 'False' | 'Unknown'])[]
}

const under = (processing: 'True' | 'False', succeeded: 'True' | 'False' | 'Unknown'): Told['conditions'] => [
  ['Processing', processing],
  ['Succeeded', succeeded],
  // The node keeps its record, and comes back under its name.
  ['PermanentNodeDeletionExpected', 'False'],
]

function toldOf(request: Remediation, standing: RemedyStanding | undefined): Told {
  if (request.metadata.annotations?.[TIMED_OUT] !== undefined)
    return {
      reason: 'TimedOut',
      says: 'NodeHealthCheck has given this request up; the mesh goes on by itself',
      ask: false,
      conditions: under('False', 'False'),
    }
  if (!standing)
    return {
      reason: 'NoHost',
      says: `the mesh has no host ${hostOf(request)}`,
      ask: false,
      conditions: under('False', 'False'),
    }
  const { incident, says } = standing
  if (!incident) return { reason: 'Asked', says, ask: true, conditions: under('True', 'Unknown') }
  if (incident.isProven && DONE.has(incident.state))
    return { reason: 'Evacuated', says, ask: false, conditions: under('False', 'True') }
  return { reason: incident.isProven ? 'Fenced' : 'Confirmed', says, ask: false, conditions: under('True', 'Unknown') }
}
