/** A conductor as a rack plan sees it, as values: carries plans out at once, as a roll-out without failures does. */
import { endsOfStage, type PlanItem, type Plan, type Stage, VERBS } from '../../../conductor/rollouts/plan.ts'
import type { RackNode } from '../../../conductor/api/rack-schemas.ts'
import { MASK } from '../../../conductor/api/views.ts'
import { readLocated } from '../../../cli/rack/located.ts'
import { planOf, type Observed } from '../../../cli/rack/plan.ts'
import { resolve } from '../../../cli/rack/resolve.ts'
import { isPlaceholder } from '../../../cli/rack/wanted.ts'

export const observing = (nodes: readonly RackNode[]): Observed => ({
  nodes,
  cleans: true,
  secretsDiffer: new Set(),
  baselines: new Map(),
  behind: new Map(),
  files: new Map(),
})

export const planText = async (text: string, nodes: readonly RackNode[] = []): Promise<Plan> =>
  planOf(resolve(await readLocated(text, 'rack.yaml')), observing(nodes))

const blank = (name: string): RackNode => ({
  uuid: `00000000-0000-4000-8000-${Buffer.from(name).toString('hex').slice(-12).padStart(12, '0')}`,
  name,
  fingerprint: '0',
  provision_state: 'enroll',
  provision_updated_at: null,
  power_state: null,
  reservation: false,
  maintenance: false,
  protected: false,
  last_error: null,
  inspected: false,
  boot_mode: null,
  cleans: true,
  fields: {},
  instance: {},
  has_drive: false,
  traits: [],
  ports: [],
  target_raid: {},
  recorded: null,
})

const stored = (value: unknown): unknown => (isPlaceholder(value) ? MASK : value)

/** `mayEnd`: whether stages that end something are carried out too; where not, the item waits. */
export function applied(plan: Plan, nodes: readonly RackNode[], mayEnd = true): RackNode[] {
  const byName = new Map(nodes.map((node) => [node.name ?? '', node]))
  for (const item of plan.items) {
    if (!mayEnd && item.stages.some((stage) => endsOfStage(stage).length > 0)) continue
    const node = carriedOut(item, byName.get(item.node))
    if (node) byName.set(item.node, node)
    else byName.delete(item.node)
  }
  return [...byName.values()]
}

function carriedOut(item: PlanItem, before: RackNode | undefined): RackNode | undefined {
  let node: RackNode | undefined = before ?? blank(item.node)
  for (const stage of item.stages) node = node && after(node, stage)
  return node && { ...node, recorded: item.record && { ...item.record, at: '', by: '' } }
}

function after(node: RackNode, stage: Stage): RackNode | undefined {
  switch (stage.do) {
    case 'create': {
      const { name: _, ...body } = stage.body
      const fields = Object.entries(body).flatMap(([field, value]) =>
        ['driver_info', 'properties', 'extra', 'network_data'].includes(field)
          ? Object.entries(value as object).map(([key, inner]) => [`${field}/${key}`, stored(inner)])
          : [[field, stored(value)]],
      )
      return { ...node, fields: Object.fromEntries(fields) as RackNode['fields'] }
    }
    case 'patch': {
      const fields = { ...node.fields }
      const instance = { ...node.instance }
      for (const { op, path, value } of stage.patch) {
        const key = path.slice(1).replaceAll('~1', '/').replaceAll('~0', '~')
        const [at, name] = key.startsWith('instance_info/') ? [instance, key.slice(14)] : [fields, key]
        if (op === 'add') at[name] = stored(value)
        else delete at[name]
      }
      return { ...node, fields, instance }
    }
    case 'traits':
      return { ...node, traits: [...stage.traits] }
    case 'add port': {
      const given = stage.body as Partial<RackNode['ports'][number]>
      const port = {
        uuid: '0',
        address: '',
        pxe_enabled: true,
        physical_network: null,
        local_link_connection: {},
        ...given,
      }
      return { ...node, ports: [...node.ports, port] }
    }
    case 'change port':
      return node
    case 'remove port':
      return { ...node, ports: node.ports.filter(({ address }) => address !== stage.address) }
    case 'raid':
      return { ...node, target_raid: stage.target }
    case 'delete':
      return undefined
    case 'verb':
      return {
        ...node,
        provision_state: VERBS[stage.verb],
        ...(stage.verb === 'inspect' ? { inspected: true } : {}),
        ...(stage.verb === 'deleted' ? { instance: {}, has_drive: false } : {}),
        ...(stage.arguments?.configdrive ? { has_drive: true } : {}),
      }
  }
}
