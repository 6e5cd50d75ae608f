/** /v1/nodes/{id}/vendor_passthru: methods that only some hardware has. */
import { Fault } from '../../../kit/fault.ts'
import { hardwareOf } from '../../fake/steps.ts'
import { callVendor, VENDOR_METHODS, vendorMethod } from '../../fake/vendor.ts'
import { locked } from '../../node/policy/guards.ts'
import { interfaceOf } from '../../node/policy/interfaces.ts'
import { isLocked } from '../../node/record.ts'
import { mustOwn } from '../access.ts'
import { checkInput, z } from '../node-input.ts'
import type { Reply, Route, RouteParts } from '../route.ts'
import type { Gates } from '../versions.ts'
import type { Able } from './able.ts'
import { nodeOf } from './routes.ts'

const at = (path: string) => `/v1/nodes/:ident/${path}`

export function vendorRoutes(parts: RouteParts, able: Able): Route[] {
  const { nodes } = parts
  const pass = (method: Route['method'], path: string, query: Gates): Route => ({
    method,
    path: at(path),
    role: 'operator',
    query,
    says: 'calls a vendor method, where the interface has any',
    async handle(ask): Promise<Reply> {
      const node = await able(ask, 'vendor', { what: 'vendor_passthru' })
      mustOwn(ask.actor, node, 'vendor_passthru')
      const called = ask.params.method ?? ask.query.text('method')
      if (!called) throw new Fault('input.missing', 'method is missing: name the vendor method')
      const args = checkInput(z.looseObject({}), ask.body ?? {})
      const known = vendorMethod(called, method.toUpperCase(), args)
      if (known.require_exclusive_lock && isLocked(node)) throw locked(node)
      await nodes.changeFake(node.uuid, (fake) => callVendor(fake, called, args).hardware)
      return known.async ? { status: 202 } : { body: callVendor(hardwareOf(node, 0), called, args).result }
    },
  })
  return [
    {
      method: 'get',
      path: at('vendor_passthru/methods'),
      role: 'reader',
      says: 'lists vendor methods',
      async handle(ask) {
        const node = await nodeOf(parts, ask)
        const there = interfaceOf(node, 'vendor') === 'fake' ? Object.entries(VENDOR_METHODS) : []
        return {
          body: Object.fromEntries(
            there.map(([name, { description, async, require_exclusive_lock }]) => [
              name,
              { description, async, require_exclusive_lock, attach: false, http_methods: ['POST'] },
            ]),
          ),
        }
      },
    },
    ...(['get', 'post', 'put', 'patch', 'delete'] as const).flatMap((method) => [
      pass(method, 'vendor_passthru', { method: 1 }),
      pass(method, 'vendor_passthru/:method', {}),
    ]),
  ]
}
