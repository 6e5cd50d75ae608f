/** /v1/nodes/{id}/vendor_passthru: methods that only some hardware has, in Ironic's way. */
import { Fault } from '../../../kit/fault.ts'
import { hardwareOf } from '../../fake/steps.ts'
import { callVendor, VENDOR_METHODS, vendorMethod } from '../../fake/vendor.ts'
import { locked } from '../../node/policy/guards.ts'
import { interfaceOf } from '../../node/policy/interfaces.ts'
import { isLocked, type NodeRecord } from '../../node/record.ts'
import type { NodeService } from '../../node/service.ts'
import { mustBeWhole, mustOwn } from '../access.ts'
import { checkInput, z } from '../node-input.ts'
import type { ApiRequest, ApiResponse, Route, RouteParts } from '../route.ts'
import type { Gates } from '../versions.ts'
import { nodeOf } from './routes.ts'
import { vendorMethodsOf } from './vendor-methods.ts'

const at = (path: string) => `/v1/nodes/:ident/${path}`

export function vendorRoutes(parts: RouteParts): Route[] {
  const { nodes } = parts
  const pass = (method: Route['method'], path: string, query: Gates): Route => ({
    method,
    path: at(path),
    role: 'operator',
    query,
    readsBody: true,
    summary: 'calls a vendor method, where the interface has any',
    async handle(request): Promise<ApiResponse> {
      const node = await nodeOf(parts, request)
      const vendor = interfaceOf(node, 'vendor')
      if (vendor === 'no-vendor') throw nodes.refuse(node, 'vendor', 'vendor_passthru')
      mustOwn(request.actor, node, 'vendor_passthru')

      const called = request.params.method ?? request.query.text('method')
      if (!called) throw new Fault('input.missing', 'method is missing: name the vendor method')
      const args = checkInput(z.looseObject({}), request.body ?? {})
      return vendor === 'fake'
        ? callFake(nodes, { node, called, args, http: method.toUpperCase() })
        : callBmc(nodes, request, { node, called, args, http: method.toUpperCase() })
    },
  })
  return [
    {
      method: 'get',
      path: at('vendor_passthru/methods'),
      role: 'reader',
      summary: 'lists vendor methods',
      handle: async (request) => ({ body: methodsOf(await nodeOf(parts, request)) }),
    },
    ...(['get', 'post', 'put', 'patch', 'delete'] as const).flatMap((method) => [
      pass(method, 'vendor_passthru', { method: 1 }),
      pass(method, 'vendor_passthru/:method', {}),
    ]),
  ]
}

interface VendorCall {
  readonly node: NodeRecord
  readonly called: string
  readonly args: Record<string, unknown>
  readonly http: string
}

async function callFake(nodes: NodeService, { node, called, args, http }: VendorCall): Promise<ApiResponse> {
  const known = vendorMethod(called, http, args)
  if (known.require_exclusive_lock && isLocked(node)) throw locked(node)
  await nodes.changeFake(node.uuid, (fake) => callVendor(fake, called, args).hardware)
  return known.async ? { status: 202 } : { body: callVendor(hardwareOf(node, 0), called, args).result }
}

/** Answers when the BMC has taken it. Ironic answers 202 at once, and what went wrong stands in its log. */
async function callBmc(
  nodes: NodeService,
  request: ApiRequest,
  { node, called, args, http }: VendorCall,
): Promise<ApiResponse> {
  // Raw requests can do anything at a BMC, such as making users, and subscriptions make it call any address: that is
  // not for one project.
  mustBeWhole(request.actor, 'vendor_passthru')
  const methods = vendorMethodsOf(interfaceOf(node, 'vendor'))
  const known = Object.hasOwn(methods, called) ? methods[called] : undefined
  if (!known)
    throw new Fault(
      'input.invalid',
      `No handler for method ${called.slice(0, 64)}; there are ${Object.keys(methods).join(', ')}`,
    )
  if (http !== known.http) throw new Fault('input.invalid', `The method ${called} does not support HTTP ${http}`)
  if (known.lock && isLocked(node)) throw locked(node)
  const found = await known.call(nodes, node, args)
  return known.async ? { status: 202 } : { body: found ?? null }
}

function methodsOf(node: NodeRecord): Record<string, unknown> {
  const vendor = interfaceOf(node, 'vendor')
  if (vendor === 'fake')
    return Object.fromEntries(
      Object.entries(VENDOR_METHODS).map(([name, { description, async, require_exclusive_lock }]) => [
        name,
        { description, async, require_exclusive_lock, attach: false, http_methods: ['POST'] },
      ]),
    )
  return Object.fromEntries(
    Object.entries(vendorMethodsOf(vendor)).map(([name, { description, async, lock, http }]) => [
      name,
      { description, async, require_exclusive_lock: lock, attach: false, http_methods: [http] },
    ]),
  )
}
