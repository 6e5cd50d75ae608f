/** /v1/nodes/{id}/vendor_passthru: methods that only some hardware has. Those of IPMI are Ironic's: send_raw and
 *  bmc_reset. */
import { Fault } from '../../../kit/fault.ts'
import { rawBytes } from '../../bmc/raw.ts'
import { hardwareOf } from '../../fake/steps.ts'
import { callVendor, VENDOR_METHODS, vendorMethod } from '../../fake/vendor.ts'
import { locked } from '../../node/policy/guards.ts'
import { interfaceOf } from '../../node/policy/interfaces.ts'
import { isLocked, type NodeRecord } from '../../node/record.ts'
import type { NodeService } from '../../node/service.ts'
import { mustBeWhole, mustOwn } from '../access.ts'
import { checkInput, Flag, z } from '../node-input.ts'
import type { ApiRequest, ApiResponse, Route, RouteParts } from '../route.ts'
import type { Gates } from '../versions.ts'
import { nodeOf } from './routes.ts'

const at = (path: string) => `/v1/nodes/:ident/${path}`

interface IpmiMethod {
  readonly description: string
  readonly call: (nodes: NodeService, node: NodeRecord, args: Record<string, unknown>) => Promise<void>
}

const SendRaw = z.strictObject({ raw_bytes: z.string().min(1).max(1024) })
const BmcReset = z.strictObject({ warm: Flag.default(true) })

const IPMI_METHODS: Readonly<Record<string, IpmiMethod>> = {
  send_raw: {
    description:
      'sends a raw request to the BMC; raw_bytes: network function, command and data as text, such as "0x06 0x01"',
    call: (nodes, node, args) => nodes.atBmc.sendRaw(node, rawBytes(checkInput(SendRaw, args).raw_bytes)),
  },
  bmc_reset: {
    description: 'resets the BMC; warm: true (the default) for a warm reset, false for a cold one',
    call: (nodes, node, args) => nodes.atBmc.resetBmc(node, checkInput(BmcReset, args).warm ? 'warm' : 'cold'),
  },
}

export function vendorRoutes(parts: RouteParts): Route[] {
  const { nodes } = parts
  const pass = (method: Route['method'], path: string, query: Gates): Route => ({
    method,
    path: at(path),
    role: 'operator',
    query,
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
        : callIpmi(nodes, request, { node, called, args, http: method.toUpperCase() })
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
async function callIpmi(
  nodes: NodeService,
  request: ApiRequest,
  { node, called, args, http }: VendorCall,
): Promise<ApiResponse> {
  // Raw requests can do anything at a BMC, such as making users: that is not for one project.
  mustBeWhole(request.actor, 'vendor_passthru')
  const known = Object.hasOwn(IPMI_METHODS, called) ? IPMI_METHODS[called] : undefined
  if (!known)
    throw new Fault(
      'input.invalid',
      `No handler for method ${called.slice(0, 64)}; there are ${Object.keys(IPMI_METHODS).join(', ')}`,
    )
  if (http !== 'POST') throw new Fault('input.invalid', `The method ${called} does not support HTTP ${http}`)
  await known.call(nodes, node, args)
  return { status: 202 }
}

function methodsOf(node: NodeRecord): Record<string, unknown> {
  const vendor = interfaceOf(node, 'vendor')
  const there =
    vendor === 'fake'
      ? Object.entries(VENDOR_METHODS)
      : vendor === 'ipmitool'
        ? Object.entries(IPMI_METHODS).map(
            ([name, { description }]) => [name, { description, async: true, require_exclusive_lock: true }] as const,
          )
        : []
  return Object.fromEntries(
    there.map(([name, { description, async, require_exclusive_lock }]) => [
      name,
      { description, async, require_exclusive_lock, attach: false, http_methods: ['POST'] },
    ]),
  )
}
