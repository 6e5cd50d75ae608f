/** `rackward node deploy --all`: every available node of a class, or each that is behind, as one roll-out: canaries
 *  first, stopped by failures; the conductor lets as many begin at once as it bears. And `rackward node queue`,
 *  which shows those that wait. */
import type { AdmissionView } from '../conductor/api/admission-schemas.ts'
import type { RackNode, RackPage } from '../conductor/api/rack-schemas.ts'
import { planHash, type Plan, type PlanItem, type Stage } from '../conductor/rollouts/plan.ts'
import { spanText } from '../kit/text.ts'
import { CliError } from './error.ts'
import { bodyOf, connect, enc, imagePatch, type Common, type VerbOptions } from './nodes.ts'
import { statusOf } from './image-series.ts'
import { begin } from './rack/apply.ts'
import type { Api } from './server.ts'
import { formatOf, print, show, tableOf } from './show.ts'

export interface DeployAllOptions extends VerbOptions {
  readonly all?: boolean
  readonly class?: string
  /** Nodes that run another image than their channel is at now. */
  readonly behind?: boolean
  readonly canary?: string
  readonly stopOn?: string
  readonly yes?: boolean
}

/** Begun at once: the queue of admission decides how many of them boot and fetch. */
const MOST_AT_ONCE = 1_000
const DEFAULT_STOP = '5%'

export async function deployAll(idents: readonly string[], options: DeployAllOptions): Promise<void> {
  if (idents.length > 0) throw new CliError('usage', '--all: name no nodes beside it')
  const api = await connect(options)
  const behind = options.behind ? await nodesBehind(api) : undefined
  const nodes = (await rackNodes(api)).filter((node) => isWanted(node, options.class, behind))
  if (nodes.length === 0)
    return print(
      behind
        ? `no node${ofClass(options)} is behind its channel; see: rackward image status`
        : `no node${ofClass(options)} is available; see: rackward node list`,
    )
  const { target: _, ...given } = await bodyOf('active', options)
  const plan = planFor(nodes, options, given)
  await begin(api, plan, {
    agreed: options.yes ? { [behind ? 'rebuild' : 'deploy']: plan.items.map(({ node }) => node) } : {},
    secrets: {},
    ...(options.wait === undefined ? {} : { wait: options.wait }),
  })
}

const ofClass = ({ class: name }: DeployAllOptions): string => (name === undefined ? '' : ` of class ${name}`)

const isWanted = (
  { uuid, provision_state: state, maintenance, fields }: RackNode,
  name: string | undefined,
  behind: ReadonlySet<string> | undefined,
): boolean =>
  (behind ? state === 'active' && behind.has(uuid) : state === 'available') &&
  !maintenance &&
  (name === undefined || fields.resource_class === name)

async function nodesBehind(api: Api): Promise<ReadonlySet<string>> {
  return new Set((await statusOf(api, true)).map(({ uuid }) => uuid))
}

async function rackNodes(api: Api): Promise<RackNode[]> {
  const nodes: RackNode[] = []
  for (let marker: string | null = ''; marker !== null;) {
    const query: string = marker === '' ? '' : `&marker=${enc(marker)}`
    const page = (await api.ask('GET', `/rackward/v1/rack?limit=1000${query}`)) as RackPage
    nodes.push(...page.nodes)
    marker = page.next
  }
  return nodes
}

/** Pure. `given`: further arguments of the verb, such as a config drive. */
export function planFor(
  nodes: readonly RackNode[],
  options: Pick<DeployAllOptions, 'class' | 'canary' | 'stopOn' | 'image' | 'checksum' | 'behind'>,
  given: Readonly<Record<string, unknown>>,
): Plan {
  const stagesOf = ({ instance }: RackNode): Stage[] => {
    const patch = imagePatch(instance, options)
    return [
      ...(patch.length > 0 ? [{ do: 'patch' as const, patch }] : []),
      {
        do: 'verb',
        verb: options.behind ? 'rebuild' : 'active',
        ...(Object.keys(given).length > 0 ? { arguments: { ...given } } : {}),
      },
    ]
  }
  const canaries = spread(nodes, countOf('--canary', options.canary ?? '0', nodes.length))
  const items = nodes.map((node): PlanItem => ({
    node: nameOf(node),
    rack: rackOf(node),
    uuid: node.uuid,
    fingerprint: node.fingerprint,
    says: [
      options.behind
        ? 'is rebuilt with what its channel is at now'
        : `deploys ${options.image ?? 'what its instance_info names'}`,
    ],
    stages: stagesOf(node),
    record: null,
  }))
  const roll = {
    at_once: MOST_AT_ONCE,
    at_once_per_rack: null,
    stop_after: Math.max(1, countOf('--stop-on', options.stopOn ?? DEFAULT_STOP, nodes.length)),
    canaries: canaries.map(nameOf),
    hold_seconds: 0,
  }
  const site = `${options.behind ? 'behind' : 'deploy'}-${options.class ?? 'all'}`
  const plan = { version: 1 as const, site, items, refused: [], left: [], secrets: [], roll }
  return { ...plan, hash: planHash(plan) }
}

const nameOf = ({ name, uuid }: RackNode): string => name ?? uuid

const rackOf = ({ fields }: RackNode): string => {
  const rack = fields['extra/rackward/rack'] ?? (fields['extra/rackward'] as { rack?: unknown } | undefined)?.rack
  return typeof rack === 'string' && rack !== '' ? rack : '-'
}

/** A number, or a share of all such as 5%. */
function countOf(option: string, text: string, all: number): number {
  const [, number, percent] = /^(\d+(?:\.\d+)?)(%?)$/.exec(text) ?? []
  const value = Number(number)
  const count = percent === '%' ? Math.ceil((value / 100) * all) : value
  if (number === undefined || !Number.isInteger(count) || count > all * (percent === '%' ? 1 : 1_000_000))
    throw new CliError('usage', `${option}: ${text} is neither a number of nodes nor a share such as 5%`)
  return Math.min(count, all)
}

/** Canaries of different racks, as far as there are. */
function spread(nodes: readonly RackNode[], count: number): RackNode[] {
  const racks = new Map<string, RackNode[]>()
  for (const node of nodes) racks.set(rackOf(node), [...(racks.get(rackOf(node)) ?? []), node])
  const rounds = Math.max(0, ...[...racks.values()].map(({ length }) => length))
  const order = Array.from({ length: rounds }, (_, i) => [...racks.values()].flatMap((rack) => rack[i] ?? [])).flat()
  return order.slice(0, count)
}

export async function queue(options: Common): Promise<void> {
  const found = (await (await connect(options)).ask('GET', '/rackward/v1/admission')) as AdmissionView
  await show(found, formatOf(options.output), () => queueText(found))
}

function queueText({ enabled, boots, writes, waiting }: AdmissionView): string {
  if (!enabled || !boots || !writes) return 'nothing waits: admission.enabled is false'
  const head = [
    `${boots.used} of ${boots.limit} servers boot the ramdisk, ${writes.used} of ${writes.limit} get their image`,
  ]
  if (waiting.length === 0) return [...head, 'nobody waits'].join('\n')
  const rows = waiting.map(({ place, name, node, priority, since, left_seconds: left, why }) => [
    String(place),
    name ?? node,
    String(priority),
    since,
    left === null ? '' : spanText(Math.max(1, left)),
    why,
  ])
  return [...head, tableOf(['place', 'node', 'priority', 'since', 'about', 'why'], rows)].join('\n')
}
