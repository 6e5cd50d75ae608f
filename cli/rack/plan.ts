/** Wanted and observed -> a plan. Pure: the same for the same file, whatever the order of its lines. */
import { isDeepStrictEqual } from 'node:util'
import type { RackNode } from '../../conductor/api/rack-schemas.ts'
import {
  digestOf,
  endsOf,
  END_TEXTS,
  planHash,
  type EndKind,
  type PlanItem,
  type Plan,
  type Recorded,
  type Stage,
} from '../../conductor/rollouts/plan.ts'
import { baselineItems, baselineSteps, type BaselineItem, type SeenBaseline } from './baseline.ts'
import { leftOfSite, siteActs, type SeenSite } from './site.ts'
import { bringsBaseline, flawOf, itemText, openTexts, recordedBaselines } from './baseline-plan.ts'
import { fieldsDifference, portBody, portsDifference, traitsDifference, type Difference } from './diff.ts'
import { placeText } from './located.ts'
import { whereOf, type Rack, type WantedUnit } from './resolve.ts'
import { rollOf, rolledOrder } from './roll.ts'
import { wayOf, type WayFound } from './stages.ts'
import { driveOf, fieldsOf, imageOf, portsOf, secretsIn, withPlaceholders } from './wanted.ts'

export interface Observed {
  readonly nodes: readonly RackNode[]
  /** New nodes are cleaned by themselves. */
  readonly cleans: boolean
  /** "NODE FIELD" of secrets that are other ones than those of the file. */
  readonly secretsDiffer: ReadonlySet<string>
  /** BIOS settings and firmware by name of the node, where the file says something of them. */
  readonly baselines: ReadonlyMap<string, SeenBaseline>
  /** Nodes that run another version than their channel is at, by name. */
  readonly behind: ReadonlyMap<string, BehindChannel>
  /** What belongs to no node. */
  readonly site?: SeenSite
  /** Content of the user_data files. */
  readonly files: ReadonlyMap<string, string>
}

export interface BehindChannel {
  readonly version: string | null
  readonly wanted: string | null
}

type Planned = { readonly item?: PlanItem; readonly refused?: string; readonly left: readonly string[] }

export function planOf(rack: Rack, observed: Observed): Plan {
  const byName = new Map(observed.nodes.map((node) => [node.name, node]))
  const planned = rack.nodes.map((wanted) => ({
    wanted,
    ...planNode(wanted, byName.get(wanted.name), { rack, observed }),
  }))
  const items = planned.flatMap(({ item }) => item ?? [])
  const names = new Set(rack.nodes.map(({ name }) => name))
  const forgotten = observed.nodes.filter((node) => node.recorded?.site === rack.site && !names.has(node.name ?? ''))
  const acts = siteActs(rack, observed.site ?? {})
  const plan: Omit<Plan, 'hash'> = {
    version: 1,
    site: rack.site,
    ...(acts.length > 0 ? { acts } : {}),
    items: rolledOrder(items, rack),
    refused: planned.flatMap(({ wanted, refused }) =>
      refused === undefined ? [] : [{ node: wanted.name, why: refused }],
    ),
    left: [
      ...planned.flatMap(({ left }) => left),
      ...leftOfSite(rack, observed.site ?? {}),
      ...forgotten
        .map(
          ({ name, uuid }) =>
            `${name ?? uuid} was applied from this file, and is in it no more: left alone; to delete it, write "want: absent"`,
        )
        .toSorted(),
    ],
    secrets: [...new Set(items.flatMap(({ stages }) => secretsIn(stages)))].toSorted(),
    roll: rollOf(rack),
  }
  return { ...plan, hash: planHash(plan) }
}

interface About {
  readonly rack: Rack
  readonly observed: Observed
}

function planNode(wanted: WantedUnit, node: RackNode | undefined, about: About): Planned {
  const { spec, name } = wanted
  const other = node?.recorded && node.recorded.site !== about.rack.site ? node.recorded.site : undefined
  if (other !== undefined)
    return { refused: `it was applied from the file of the site ${other}; take it out of that one first`, left: [] }
  if (spec.want === 'absent' && !node) return { left: [] }
  const instance = instanceOf(wanted, node, about)
  const raid = raidOf(wanted, node)
  const baseline = baselineItems(spec, about.observed.baselines.get(name))
  const steps = baselineSteps(spec, baseline)
  const flaw = spec.want === 'absent' ? undefined : flawOf(wanted, baseline)
  const found: WayFound =
    flaw === undefined
      ? wayOf({
          node,
          want: spec.want,
          inspect: spec.inspect ?? true,
          cleans: spec.automated_clean ?? node?.cleans ?? about.observed.cleans,
          raid: raid.stage,
          baseline: steps,
          service: spec.service ?? false,
          rebuild: instance.says.length > 0,
          drive: instance.drive?.content,
          prepare: instance.prepare,
        })
      : { refused: flaw }
  const changes = spec.want === 'absent' ? NOTHING : node ? changesOf(wanted, node, about) : NOTHING
  const created = spec.want === 'absent' || node ? [] : createStages(wanted)
  const way = 'refused' in found ? [] : found.stages
  const isBrought = steps.length > 0 && way.some(bringsBaseline)
  const left = [
    ...changes.left,
    ...(isBrought || 'refused' in found || spec.want === 'absent' ? [] : openTexts(wanted, node, baseline)),
  ]
  const item: PlanItem = {
    node: name,
    rack: wanted.rack,
    ...(spec.role === undefined ? {} : { role: spec.role }),
    uuid: node?.uuid ?? null,
    fingerprint: node?.fingerprint ?? null,
    says: [
      ...(node || spec.want === 'absent'
        ? []
        : [`+ enroll  driver ${spec.driver}, ports: ${portsOf(spec).length} (${placeText(wanted.at)})`]),
      ...changes.says,
      ...(way.some((stage) => stage.do === 'raid') ? raid.says : []),
      ...(way.some((stage) => stage.do === 'verb' && stage.verb === 'rebuild') ? instance.says : []),
      ...(isBrought ? baseline.flatMap((one) => (one.holds ? [] : [`! ${itemText(wanted, one)}`])) : []),
      ...wayText(node?.provision_state, spec.want, way),
    ],
    stages: [...created, ...changes.stages, ...way],
    record:
      spec.want === 'absent' ? null : recordOf(wanted, node, { ...about, way, instance, raid, baseline, isBrought }),
  }
  const ends = spec.protect ? endsOf(item).filter((kind) => isProtectedFrom(kind, node)) : []
  if (ends.length > 0)
    return {
      refused: `protect: true (${placeText(whereOf(wanted, ['protect']))}): it ${ends.map((kind) => END_TEXTS[kind]).join('; it ')}`,
      left,
    }
  const refused = 'refused' in found ? { refused: found.refused } : {}
  const isSame = item.stages.length === 0 && (item.record === null || isRecorded(item.record, node))
  if (isSame) return { left, ...refused }
  const says = item.stages.length > 0 ? item.says : ['= is as wanted; recorded as applied from this file']
  return { item: { ...item, says }, left, ...refused }
}

/** As Ironic's `protected`, which servers with an instance have: what comes before the first deploy needs to be agreed
 *  to as everywhere. */
const BEFORE_INSTANCE: ReadonlySet<EndKind> = new Set(['boot', 'erase', 'raid', 'bios', 'firmware', 'deploy'])
const WITHOUT_INSTANCE = new Set(['enroll', 'manageable', 'inspect failed', 'clean failed', 'available'])

const isProtectedFrom = (kind: EndKind, node: RackNode | undefined): boolean =>
  !BEFORE_INSTANCE.has(kind) || (node !== undefined && !WITHOUT_INSTANCE.has(node.provision_state))

const NOTHING: Difference = { stages: [], says: [], left: [] }

function isRecorded(record: Recorded, node: RackNode | undefined): boolean {
  if (!node?.recorded) return false
  const { at: _at, by: _by, ...recorded } = node.recorded
  return isDeepStrictEqual(record, recorded)
}

function changesOf(wanted: WantedUnit, node: RackNode, { observed }: About): Difference {
  const place = (field: string) => {
    const at = whereOf(wanted, field.split('/'))
    return `  ${at.profile === undefined ? '' : `profile ${at.profile}, `}${placeText(at)}`
  }
  const parts = [
    fieldsDifference({
      node,
      wanted: fieldsOf(wanted),
      secretDiffers: (field) => observed.secretsDiffer.has(`${node.name} ${field}`),
      whence: place,
    }),
    traitsDifference(node, wanted.spec.traits),
    portsDifference(node, portsOf(wanted.spec), wanted.spec.absent_ports),
  ]
  return {
    stages: parts.flatMap(({ stages }) => stages),
    says: parts.flatMap(({ says }) => says),
    left: parts.flatMap(({ left }) => left),
  }
}

function createStages(wanted: WantedUnit): Stage[] {
  const body: Record<string, unknown> = { name: wanted.name }
  for (const [path, value] of Object.entries(fieldsOf(wanted))) {
    const [field = '', ...key] = path.split('/')
    if (key.length === 0) body[field] = value
    else body[field] = { ...(body[field] as object | undefined), [key.join('/')]: value }
  }
  const { traits } = wanted.spec
  return [
    { do: 'create', body },
    ...(traits ? [{ do: 'traits' as const, traits: [...new Set(traits)].toSorted() }] : []),
    ...portsOf(wanted.spec).map((port): Stage => ({ do: 'add port', body: portBody(port) })),
  ]
}

/** Whether its image follows a channel. */
export const isChannel = ({ spec }: Pick<WantedUnit, 'spec'>, { file }: Pick<Rack, 'file'>): boolean => {
  const image = file.images?.[spec.image ?? '']
  return image !== undefined && 'channel' in image
}

/** Image and config drive of the instance against those of the file. */
function instanceOf(wanted: WantedUnit, node: RackNode | undefined, { rack, observed }: About) {
  const image = imageOf(wanted, rack)
  const drive = driveOf(wanted, observed.files)
  const says: string[] = []
  if (node?.provision_state === 'active' && image) {
    const now = Object.fromEntries(Object.keys(image).map((key) => [key, node.instance[key]]))
    if (!isDeepStrictEqual(now, image))
      says.push(`! image  runs ${String(now.image_source)}, wanted ${String(image.image_source)}`)
    else {
      const behind = isChannel(wanted, rack) ? observed.behind.get(wanted.name) : undefined
      if (behind)
        says.push(
          `! image  ${String(image.image_source)}: runs version ${behind.version}, the channel is at ${behind.wanted}`,
        )
    }
    // An instance whose drive nobody recorded keeps it: nothing is known against it.
    const known = node.recorded?.drive ?? (node.has_drive ? undefined : null)
    if (drive && known !== undefined && known !== drive.digest)
      says.push('! configdrive  differs from that of the instance')
  }
  const patch = Object.entries(image ?? {}).flatMap(([key, value]) =>
    node && isDeepStrictEqual(node.instance[key], value)
      ? []
      : [{ op: 'add' as const, path: `/instance_info/${key}`, value }],
  )
  const prepare: Stage[] = patch.length > 0 ? [{ do: 'patch', patch }] : []
  return { says, drive, prepare }
}

function raidOf({ spec }: WantedUnit, node: RackNode | undefined) {
  const digest = spec.raid ? digestOf(spec.raid) : undefined
  const target = withPlaceholders(spec.raid) as Record<string, unknown>
  const isBuilt = digest === undefined || node?.recorded?.raid === digest
  return {
    digest,
    stage: isBuilt ? undefined : ({ do: 'raid', target } as const),
    says: ['! raid  is built anew'],
  }
}

function recordOf(
  wanted: WantedUnit,
  node: RackNode | undefined,
  at: About & {
    readonly way: readonly Stage[]
    readonly instance: ReturnType<typeof instanceOf>
    readonly raid: ReturnType<typeof raidOf>
    readonly baseline: readonly BaselineItem[]
    readonly isBrought: boolean
  },
): Recorded {
  const deploys = at.way.some((stage) => stage.do === 'verb' && (stage.verb === 'active' || stage.verb === 'rebuild'))
  const undeploys = at.way.some((stage) => stage.do === 'verb' && stage.verb === 'deleted')
  const builds = at.way.some((stage) => stage.do === 'raid')
  const before = node?.recorded
  return {
    site: at.rack.site,
    fields: fieldsOf(wanted),
    traits: wanted.spec.traits ? [...new Set(wanted.spec.traits)].toSorted() : null,
    ports: portsOf(wanted.spec)
      .map(({ address }) => address)
      .toSorted(),
    raid: builds ? (at.raid.digest ?? null) : (before?.raid ?? null),
    drive: deploys ? (at.instance.drive?.digest ?? null) : undeploys ? null : (before?.drive ?? null),
    ...recordedBaselines(at, before),
  }
}

function wayText(state: string | undefined, want: string | undefined, way: readonly Stage[]): string[] {
  const verbs = way.flatMap((stage) => (stage.do === 'verb' ? [stage.verb === 'active' ? 'deploy' : stage.verb] : []))
  if (way.some((stage) => stage.do === 'delete')) return ['! delete  want: absent']
  return verbs.length > 0 ? [`> ${state ?? 'new'} -> ${want}  by ${verbs.join(', ')}`] : []
}
