/** A store with roll-outs in it, the routes that take plans, and the runner that carries them on. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { rolloutRoutes } from '../../../conductor/api/rollouts.ts'
import { rackNode } from '../../../conductor/api/rack.ts'
import type { ApiRequest } from '../../../conductor/api/route.ts'
import type { RolloutView } from '../../../conductor/api/rollout-schemas.ts'
import { newNode, type NodeRecord } from '../../../conductor/node/record.ts'
import { planHash, type Plan, type PlanItem, type Stage } from '../../../conductor/rollouts/plan.ts'
import { checkGeneration } from '../../../conductor/node/policy/guards.ts'
import type { StageRequest } from '../../../conductor/rollouts/requests.ts'
import { Rollouts, type RolloutParts, type SentBy } from '../../../conductor/rollouts/runner.ts'
import { SqliteStore } from '../../../conductor/store/sqlite.ts'
import type { Store } from '../../../conductor/store/port.ts'
import { systemRandom } from '../../../kit/random.ts'
import { systemClock, type Clock } from '../../../kit/clock.ts'
import { Fault } from '../../../kit/fault.ts'
import { Turns } from '../../../kit/turns.ts'
import { LIMITS, SEAL } from '../store-conformance/bench.ts'

const ACTOR = { user: 'boss', role: 'admin', project: null } as const
const NODES = { cleanSteps: () => [] } as never

export async function openStore(): Promise<{ store: Store; path: string }> {
  const dir = await mkdtemp(join(tmpdir(), 'rackward-rollouts-'))
  const path = join(dir, 'r.db')
  const store = new SqliteStore(path, SEAL, { limits: LIMITS })
  onTestFinished(async () => {
    await store.close()
    await rm(dir, { recursive: true })
  })
  return { store, path }
}

export async function addNode(store: Store, name: string, more: Partial<NodeRecord> = {}): Promise<NodeRecord> {
  const node = { ...newNode({ uuid: systemRandom.uuid(), driver: 'fake-hardware' }, 0), name, ...more }
  await store.addNode(node)
  return node
}

export const itemOf = async (store: Store, node: NodeRecord, stages: Stage[]): Promise<PlanItem> => ({
  node: node.name ?? '',
  rack: 'r1',
  uuid: node.uuid,
  fingerprint: (await rackNode({ store, nodes: NODES }, node)).fingerprint,
  says: [],
  stages,
  record: null,
})

export function planOf(items: PlanItem[], more: Partial<Plan> = {}): Plan {
  const roll = { at_once: 8, at_once_per_rack: null, stop_after: 1, canaries: [], hold_seconds: 0 }
  const plan: Omit<Plan, 'hash'> = { version: 1, site: 'lab', items, refused: [], left: [], secrets: [], roll, ...more }
  return { ...plan, hash: planHash(plan) }
}

/** The API of one conductor. */
export function apiOf(
  store: Store,
  { clock = systemClock, nodes = NODES }: { clock?: Clock; nodes?: typeof NODES } = {},
) {
  const routes = rolloutRoutes({ store, nodes, clock, random: systemRandom, turns: new Turns(), rolloutsKept: 2 })
  const ask = async (method: string, path: string, request: Partial<ApiRequest>): Promise<RolloutView> => {
    const route = routes.find((one) => one.method === method && one.path.endsWith(path))
    const answer = await route?.handle({ actor: ACTOR, params: {}, ...request } as ApiRequest, {})
    return (answer as { body: RolloutView }).body
  }
  return {
    begin: (plan: Plan, secrets: Record<string, string> = {}) => {
      const names = plan.items.map(({ node }) => node)
      const agreed = { deploy: names, rebuild: names, undeploy: names }
      return ask('post', '/rollouts', { body: { plan, agreed, secrets } })
    },
    change: (id: string, event: string) => ask('patch', '/:id', { params: { id }, body: { event } }),
    show: (id: string) => ask('get', '/:id', { params: { id } }),
  }
}

export const runnerOf = (store: Store, more: Partial<RolloutParts> = {}): Rollouts =>
  new Rollouts({
    store,
    clock: systemClock,
    log: { error: () => undefined } as never,
    actorOf: () => ACTOR,
    fingerprintOf: async (node) => (await rackNode({ store, nodes: NODES }, node)).fingerprint,
    send: async () => undefined,
    ...more,
  })

/** The node of a request takes a verb of this generation, and is done with it at once. */
export async function take(store: Store, { path }: StageRequest, { generation }: SentBy): Promise<void> {
  const node = await store.node(path.split('/')[3] ?? '')
  if (!node) throw new Fault('object.missing', 'no node')
  checkGeneration(node, generation ?? undefined)
  const workflow = { ...node.workflow, generation: node.workflow.generation + 1 }
  await store.putNode({ ...node, provisionState: 'active', workflow })
}
