/** The node of a path, when its interface is the one that can do what is asked. */
import { locked } from '../../node/policy/guards.ts'
import { interfaceOf, type InterfaceName } from '../../node/policy/interfaces.ts'
import { isLocked, type NodeRecord } from '../../node/record.ts'
import { mustOwn } from '../access.ts'
import type { ApiRequest, RouteParts } from '../route.ts'
import { nodeOf } from './routes.ts'

/** `change`: it must be the asker's own, and not locked. Throws `node.unsupported` where the interface cannot do it. */
export type Able = (
  request: ApiRequest,
  name: InterfaceName,
  at: { what: string; change?: true },
) => Promise<NodeRecord>

export const ableFor =
  (parts: RouteParts): Able =>
  async (request, name, at) => {
    const node = await nodeOf(parts, request)
    if (at.change) mustOwn(request.actor, node, at.what)
    if (interfaceOf(node, name) !== 'fake') throw parts.nodes.refuse(node, name, at.what)
    if (at.change && isLocked(node)) throw locked(node)
    return node
  }
