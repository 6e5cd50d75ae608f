/** The sub-resources of a node: traits, VIFs, inventory, children, and what would stop it. */
import { Fault } from '../../../kit/fault.ts'
import type { NodeRecord } from '../../node/record.ts'
import { isLocked } from '../../node/record.ts'
import { locked } from '../../node/policy/guards.ts'
import { mustOwn, standing } from '../access.ts'
import { checkInput, ObjectName, Uuid, z } from '../node-input.ts'
import { needs, type ApiRequest, type Route, type RouteParts } from '../route.ts'
import { Trait } from '../traits.ts'
import { veilInventory, veilTexts } from '../veil.ts'
import { nodeOf } from './routes.ts'

const MAX_TRAITS = 50
const Traits = z.strictObject({ traits: z.array(Trait).max(MAX_TRAITS, `a node has at most ${MAX_TRAITS} traits`) })
const Vif = z
  .strictObject({ id: z.union([Uuid, ObjectName]), port_uuid: Uuid.optional(), portgroup_uuid: Uuid.optional() })
  .catchall(z.unknown())

export function detailRoutes(parts: RouteParts): Route[] {
  const { nodes, store, turns } = parts
  const owned = async (request: ApiRequest, what: string) => {
    const node = await nodeOf(parts, request)
    mustOwn(request.actor, node, what)
    if (isLocked(node)) throw locked(node)
    return node
  }
  const at = (path: string) => `/v1/nodes/:ident/${path}`
  /** `change` gets the traits as they are then: of two requests at once, none is lost. */
  const setTraits = (node: NodeRecord, change: (now: readonly string[]) => readonly string[]) =>
    nodes.update(node.uuid, (now) => ({ ...now, traits: [...new Set(change(now.traits))] }))
  const trait = (request: ApiRequest) =>
    checkInput(z.strictObject({ trait: Trait }), { trait: request.params.trait }).trait
  return [
    {
      method: 'get',
      path: at('validate'),
      role: 'reader',
      summary: 'says what would stop each interface',
      async handle(request) {
        const node = await nodeOf(parts, request)
        const verdicts = await nodes.validate(node.uuid)
        return { body: standing(request.actor, node) === 'lessee' ? veilTexts(verdicts, node) : verdicts }
      },
    },

    {
      method: 'get',
      path: at('traits'),
      role: 'reader',
      since: 37,
      below: 406,
      summary: 'lists traits',
      handle: async (request) => ({ body: { traits: (await nodeOf(parts, request)).traits } }),
    },
    {
      method: 'put',
      path: at('traits'),
      role: 'operator',
      since: 37,
      below: 405,
      summary: 'sets all traits',
      async handle(request) {
        const { traits } = checkInput(Traits, request.body)
        await setTraits(await owned(request, 'traits'), () => traits)
      },
    },
    {
      method: 'delete',
      path: at('traits'),
      role: 'operator',
      since: 37,
      summary: 'removes all traits',
      async handle(request) {
        await setTraits(await owned(request, 'traits'), () => [])
      },
    },
    {
      method: 'put',
      path: at('traits/:trait'),
      role: 'operator',
      since: 37,
      below: 405,
      summary: 'adds a trait',
      async handle(request) {
        const added = trait(request)
        const node = await owned(request, 'traits')
        await setTraits(node, (now) => {
          if (now.length >= MAX_TRAITS && !now.includes(added))
            throw new Fault('input.invalid', `traits: a node has at most ${MAX_TRAITS} traits`)
          return [...now, added]
        })
        return { status: 204, location: `${request.view.base}/v1/nodes/${node.uuid}/traits/${added}` }
      },
    },
    {
      method: 'delete',
      path: at('traits/:trait'),
      role: 'operator',
      since: 37,
      summary: 'removes a trait',
      async handle(request) {
        const node = await owned(request, 'traits')
        const name = request.params.trait ?? ''
        await setTraits(node, (now) => {
          if (!now.includes(name))
            throw new Fault(
              'object.missing',
              `node ${node.uuid} does not have the trait ${JSON.stringify(name.slice(0, 255))}`,
            )
          return now.filter((known) => known !== name)
        })
      },
    },

    {
      method: 'get',
      path: at('vifs'),
      role: 'reader',
      since: 28,
      summary: 'lists attached VIFs',
      handle: async (request) => ({
        body: { vifs: Object.keys((await nodeOf(parts, request)).vifs).map((id) => ({ id })) },
      }),
    },
    {
      method: 'post',
      path: at('vifs'),
      role: 'operator',
      since: 28,
      summary: 'attaches a VIF',
      async handle(request) {
        const { id, port_uuid: portUuid, portgroup_uuid: portgroupUuid } = checkInput(Vif, request.body)
        if (portUuid || portgroupUuid) needs(request, 67, 'port_uuid and portgroup_uuid')
        if (portUuid && portgroupUuid)
          throw new Fault('input.invalid', 'port_uuid and portgroup_uuid exclude each other')
        const node = await nodeOf(parts, request)
        if (isLocked(node)) throw locked(node)
        if (portUuid && (await store.port(portUuid))?.nodeUuid !== node.uuid)
          throw new Fault('input.invalid', `port_uuid: node ${node.uuid} has no port ${portUuid}`)
        if (portgroupUuid && (await store.objects.find('portgroup', portgroupUuid))?.nodeUuid !== node.uuid)
          throw new Fault('input.invalid', `portgroup_uuid: node ${node.uuid} has no portgroup ${portgroupUuid}`)
        const how = { ...(portUuid ? { portUuid } : {}), ...(portgroupUuid ? { portgroupUuid } : {}) }
        await turns.take(`vif ${id}`, async () => {
          const [other] = await store.nodes(
            { vif: id, includeChildren: true },
            { limit: 1, sortKey: 'id', descending: false },
          )
          if (other) {
            const where = standing(request.actor, other) === 'none' ? 'another node' : `node ${other.uuid}`
            throw new Fault('object.conflict', `VIF ${id} is attached to ${where} already`)
          }
          await nodes.update(node.uuid, (now) => ({ ...now, vifs: { ...now.vifs, [id]: how } }))
        })
      },
    },
    {
      method: 'delete',
      path: at('vifs/:vif'),
      role: 'operator',
      since: 28,
      summary: 'detaches a VIF',
      async handle(request) {
        const node = await nodeOf(parts, request)
        if (isLocked(node)) throw locked(node)
        const id = request.params.vif ?? ''
        if (!Object.hasOwn(node.vifs, id))
          throw new Fault(
            'input.invalid',
            `VIF ${JSON.stringify(id.slice(0, 255))} is not attached to node ${node.uuid}`,
          )
        await nodes.update(node.uuid, (now) => ({
          ...now,
          vifs: Object.fromEntries(Object.entries(now.vifs).filter(([known]) => known !== id)),
        }))
      },
    },

    {
      method: 'get',
      path: at('inventory'),
      role: 'reader',
      since: 81,
      summary: 'shows what inspection found',
      async handle(request) {
        const node = await nodeOf(parts, request)
        const inventory = await store.inventory(node.uuid)
        if (inventory === undefined)
          throw new Fault('object.missing', `node ${node.uuid} has no inventory: inspect it first`)
        return { body: standing(request.actor, node) === 'lessee' ? veilInventory(inventory, node) : inventory }
      },
    },
    {
      method: 'get',
      path: at('children'),
      role: 'reader',
      since: 83,
      summary: 'lists child nodes',
      async handle(request) {
        const children = await nodes.children(await nodeOf(parts, request))
        return {
          body: {
            children: children.filter((child) => standing(request.actor, child) !== 'none').map((child) => child.uuid),
          },
        }
      },
    },
  ]
}
