/** What the mesh and its incidents look like in a terminal: answers of the API -> text. Pure. */
import { pairs, said, tableOf } from './show.ts'

/** An answer of the API; its schema is host-agent/api/views.ts. */
type Json = any

interface Host {
  readonly name: string
  readonly state: string
  readonly message: string
  readonly rack: string | null
  readonly planes: Record<string, string> | null
  readonly last_heard_seconds: number | null
  readonly gate: string | null
  readonly guests: number | null
  readonly unprotected: readonly { name: string; because: string }[] | null
  readonly not_fenceable_because: string | null
}

const HOST_COLUMNS = ['host', 'state', 'rack', 'down', 'heard s', 'gate', 'guests', 'message']

export function statusText(mesh: Json): string {
  const hosts = mesh.hosts as Host[]
  const arbiters = (mesh.arbiters as { name: string; last_heard_seconds: number | null }[]).map(
    ({ name, last_heard_seconds: age }) => `${name} ${age === null ? 'never heard' : `${age} s`}`,
  )
  const head = [
    `leader    ${mesh.leader ?? 'none: nothing is fenced'}`,
    `armed     ${mesh.armed ? 'yes' : 'no'}${mesh.dry_run ? ', dry run' : ''} (${mesh.reason}, by ${mesh.requested_by})`,
    `arbiters  ${arbiters.join(', ')}`,
  ]
  const rows = hosts.map((host) => [
    host.name,
    host.state,
    host.rack,
    planesText(host.planes),
    host.last_heard_seconds,
    host.gate,
    host.guests,
    host.message.split(' | ')[0]?.slice(0, 80),
  ])
  const risks = hosts.flatMap(risksOf).map((line) => `  ${said(line)}`)

  const unprotected = risks.length > 0 ? ['', 'not protected:', ...risks] : []
  return [...head.map(said), '', tableOf(HOST_COLUMNS, rows), ...unprotected].join('\n')
}

function risksOf({ name: host, not_fenceable_because: why, unprotected }: Host): string[] {
  return [
    ...(why ? [`${host}: would not be fenced: ${why}`] : []),
    ...(unprotected ?? []).map(({ name, because }) => `${host}: ${name} would not be moved: ${because}`),
  ]
}

interface Condition {
  readonly id: string
  readonly holds: boolean
  readonly message: string
  readonly description: string
}

export function explainText(found: Json): string {
  const conditions = (found.conditions as Condition[]).map(({ id, holds, message, description }) => [
    id,
    holds ? 'yes' : 'no',
    description,
    message,
  ])
  const facts = pairs([
    ['host', found.name],
    ['state', found.state],
    ['verdict', `${found.verdict}: ${found.verdict_message}`],
    ['planes down', planesText(found.planes)],
    ['last heard', found.last_heard_seconds === null ? 'never' : `${found.last_heard_seconds} s ago`],
    ['boot', `${found.boot_id ?? '-'}, gate ${found.gate ?? '-'}, ${found.guests ?? 'unknown'} guests`],
    ['hold', found.hold ? `${found.hold.kind}: ${found.hold.reason} (${found.hold.requested_by})` : '-'],
    ['BMC', bmcText(found.bmc)],
  ])
  const table = tableOf(['', 'holds', 'condition of a confirmed death', 'found'], conditions)
  return [facts, ...causesText(found.causes), ...troublesText(found), '', table].join('\n')
}

interface CauseTold {
  readonly cause: string
  readonly evidence: readonly string[]
  readonly remedy: string
}

/** The likeliest first. An arbiter of version 0.2 names none. */
function causesText(causes: readonly CauseTold[] | undefined): string[] {
  if (!causes || causes.length === 0) return []
  const lines = causes.flatMap(({ cause, evidence, remedy }, i) => [
    `  ${i + 1}. ${said(cause)}`,
    ...evidence.map((line) => `     seen: ${said(line)}`),
    `     to do: ${said(remedy)}`,
  ])
  return ['', 'likely causes:', ...lines]
}

interface EpisodeTold {
  readonly from: string
  readonly to: string | null
  readonly causes: readonly CauseTold[]
}

/** What was wrong with it, or with the mesh, and led to no incident. */
function troublesText(found: Json): string[] {
  const linesOf = (episodes: readonly EpisodeTold[] | undefined, whose: string) =>
    (episodes ?? []).flatMap(({ from, to, causes }) =>
      to === null ? [] : [said(`  ${from} to ${to}: ${whose}${causes[0]?.cause ?? ''}`)],
    )
  const lines = [...linesOf(found.troubles, ''), ...linesOf(found.mesh_troubles, 'the mesh: ')]
  return lines.length > 0 ? ['', 'before that:', ...lines] : []
}

interface BmcFound {
  readonly identity: string
  readonly fault: string | null
  readonly reads: readonly { power: string; age_seconds: number }[]
}

function bmcText(bmc: BmcFound | null): string {
  if (!bmc) return 'not asked'
  const last = bmc.reads.at(-1)
  return [bmc.identity, bmc.fault, last && `last "${last.power}" ${last.age_seconds} s ago`].filter(Boolean).join(', ')
}

export function policyText(policy: Json): string {
  const limits = Object.entries(policy.limits as Record<string, number>).map(([name, value]) => `${name}=${value}`)
  const armed = policy.dry_run ? 'dry run: it only says what it would do' : 'yes'
  return pairs([
    ['armed', policy.armed ? armed : 'no'],
    ['levels', policy.levels.join(', ')],
    ['agent lost', policy.agent_lost],
    ['isolated', policy.isolated],
    ['tenant lost', policy.tenant_lost],
    ['limits', limits.join(', ') || 'defaults'],
    ['last change', `${policy.reason} (${policy.requested_by})`],
  ])
}

export const incidentsText = (incidents: readonly Json[]): string =>
  tableOf(
    ['incident', 'host', 'state', 'since', 'proof', 'instances'],
    incidents.map((one) => [
      one.id,
      one.host,
      one.state,
      one.time_line[0]?.at,
      one.proof?.level,
      countText(one.instances),
    ]),
  )

export function incidentText(incident: Json): string {
  const beganAt = incident.time_line[0]?.at ?? ''
  const sinceText = (at: string) => `+${((Date.parse(at) - Date.parse(beganAt)) / 1000).toFixed(1)} s`
  const lines = (incident.time_line as { at: string; message: string }[]).map(({ at, message }) => [
    sinceText(at),
    message.split('\n')[0],
  ])
  const facts = pairs([
    ['incident', incident.id],
    ['host', `${incident.host}, boot ${incident.boot_id ?? 'never heard'}`],
    ['state', incident.state],
    ['proof', incident.proof ? `${incident.proof.level}: ${incident.proof.message}` : 'none'],
    ['instances', countText(incident.instances)],
  ])

  const reason = String(incident.reason)
    .split('\n')
    .map((line) => `  ${said(line)}`)
  const table = tableOf([beganAt, 'what happened'], lines)
  return [facts, ...causesText(incident.causes), '', table, '', 'reason:', ...reason].join('\n')
}

const planesText = (planes: Record<string, string> | null): string =>
  Object.entries(planes ?? {})
    .filter(([, state]) => state !== 'up')
    .map(([plane, state]) => (state === 'down' ? plane : `${plane}?`))
    .join(',') || '-'

function countText(instances: readonly { state: string }[]): string {
  const counts = new Map<string, number>()
  for (const { state } of instances) counts.set(state, (counts.get(state) ?? 0) + 1)
  return [...counts].map(([state, count]) => `${count} ${state}`).join(', ') || 'none'
}
