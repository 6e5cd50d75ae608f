/** Indicator lamps of a node: of fake hardware, or through its BMC. */
import { Fault } from '../../../kit/fault.ts'
import { indicatorOf, INDICATORS, setIndicator } from '../../fake/management.ts'
import { hardwareOf } from '../../fake/steps.ts'
import { interfaceOf, managementOf } from '../../node/policy/interfaces.ts'
import type { NodeRecord } from '../../node/record.ts'
import { mustOwn } from '../access.ts'
import { checkInput, z } from '../node-input.ts'
import type { ApiRequest, Route, RouteParts } from '../route.ts'
import { links } from '../views.ts'
import { nodeOf } from './routes.ts'

const PATH = '/v1/nodes/:ident/management/indicators'
const StateBody = z.strictObject({ state: z.enum(['on', 'off', 'blinking']) })

const isFake = (node: NodeRecord) => interfaceOf(node, 'management') === 'fake'

export function indicatorRoutes(parts: RouteParts): Route[] {
  const { nodes } = parts
  const nameOf = (request: ApiRequest) => request.params.indicator ?? ''
  /** The node, when it has lamps at all. */
  const lit = async (request: ApiRequest): Promise<NodeRecord> => {
    const node = await nodeOf(parts, request)
    if (isFake(node) || managementOf(node).indicators) return node
    const name = JSON.stringify(nameOf(request).slice(0, 64))
    throw new Fault('object.missing', `node ${node.uuid} has no indicator ${name}`)
  }
  const listed = async (node: NodeRecord) => {
    if (isFake(node)) return Object.entries(INDICATORS).map(([name, known]) => ({ name, ...known }))
    const seen = await nodes.atBmc.indicators(node)
    return seen.map(({ component, name, states }) => ({ name, component, readonly: false, states }))
  }
  return [
    {
      method: 'get',
      path: PATH,
      role: 'reader',
      since: 63,
      summary: 'lists indicator lamps; none where the interface has none',
      async handle(request) {
        const node = await nodeOf(parts, request)
        const indicators = (await listed(node)).map((one) => ({
          ...one,
          links: links(request.view, `nodes/${node.uuid}/management/indicators/${one.name}`),
        }))
        return { body: { indicators } }
      },
    },
    {
      method: 'get',
      path: `${PATH}/:indicator`,
      role: 'reader',
      since: 63,
      summary: 'shows the state of an indicator lamp',
      async handle(request) {
        const node = await lit(request)
        const name = nameOf(request)
        if (isFake(node)) return { body: { state: indicatorOf(hardwareOf(node, 0), name) } }
        return { body: { state: await nodes.atBmc.indicator(node, name) } }
      },
    },
    {
      method: 'put',
      path: `${PATH}/:indicator`,
      role: 'operator',
      since: 63,
      summary: 'switches an indicator lamp',
      async handle(request) {
        const { state } = checkInput(StateBody, request.body)
        const node = await lit(request)
        const name = nameOf(request)
        mustOwn(request.actor, node, 'indicators')
        if (isFake(node)) await nodes.changeFake(node.uuid, (fake) => setIndicator(fake, name, state))
        else await nodes.atBmc.setIndicator(node, name, state)
      },
    },
  ]
}
