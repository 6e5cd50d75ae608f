/** Whether a plan still fits what is there: nodes, and what belongs to none. */
import { Fault } from '../../kit/fault.ts'
import { newNode, type NodeRecord } from '../node/record.ts'
import { digestOf, type PlanItem, type Stage } from '../rollouts/plan.ts'
import { ACT_OBJECTS, decidedBody, type SiteAct } from '../rollouts/site-acts.ts'
import { rackNode } from './rack.ts'
import type { RouteParts } from './route.ts'

type CheckParts = Pick<RouteParts, 'store' | 'nodes'>

/** Refuses what has changed since the plan was made, and what would be erased although the plan says otherwise. */
export async function checkItem({ store, nodes }: CheckParts, item: PlanItem): Promise<void> {
  const node = item.uuid === null ? await store.nodeByName(item.node) : await store.node(item.uuid)
  if (item.uuid === null && node)
    throw new Fault('object.conflict', `${item.node}: it was enrolled since the plan was made; plan again`)
  if (item.uuid !== null && (!node || (await rackNode({ store, nodes }, node)).fingerprint !== item.fingerprint))
    throw new Fault('object.conflict', `${item.node}: it has changed since the plan was made; plan again`)
  // What is agreed to is agreed to by name.
  if (node && node.name !== item.node)
    throw new Fault('input.invalid', `plan/items: the node ${item.uuid} is not ${item.node}; make a new plan`)
  // As the node is when its turn to be provided comes: what a later stage changes comes too late.
  const hides = item.stages.some(
    (stage, i) =>
      stage.do === 'verb' &&
      stage.verb === 'provide' &&
      stage.erases === false &&
      nodes.cleanSteps(asPlanned(item.stages.slice(0, i), node)).length > 0,
  )
  if (hides)
    throw new Fault('input.invalid', `plan/items: ${item.node} is cleaned by itself, which the plan does not say`)
}

export async function checkAct({ store }: CheckParts, act: SiteAct): Promise<void> {
  if (act.do === 'mesh policy') return
  const known = await store.objects.find(ACT_OBJECTS[act.do].kind, act.name)
  if ((known ? digestOf(decidedBody(act.do, known.body)) : null) !== act.before)
    throw new Fault('object.conflict', `${act.do} ${act.name}: it has changed since the plan was made; plan again`)
}

/** The node with what these stages say of its cleaning. */
function asPlanned(stages: readonly Stage[], node: NodeRecord | undefined): NodeRecord {
  let automatedClean = node?.automatedClean ?? null
  for (const stage of stages) {
    if (stage.do === 'create' && typeof stage.body.automated_clean === 'boolean')
      automatedClean = stage.body.automated_clean
    for (const { path, value, op } of stage.do === 'patch' ? stage.patch : [])
      if (path === '/automated_clean') automatedClean = op === 'add' && typeof value === 'boolean' ? value : null
  }
  return { ...(node ?? newNode({ uuid: '', driver: '' }, 0)), automatedClean }
}
