/** /v1/lookup, /v1/heartbeat, /v1/continue_inspection: Ironic's doors for agents. They are open to every network that
 *  reaches the API, so they give nothing away: a lookup never hands out a token, and a heartbeat or an inventory counts
 *  only with the token of the node's present boot. */
import { createHash } from 'node:crypto'
import { Fault } from '../../kit/fault.ts'
import type { Clock } from '../../kit/clock.ts'
import type { AgentService } from '../agents/service.ts'
import { readToken, type BootToken } from '../boot/token.ts'
import { isLocked, orderId, type NodeRecord } from '../node/record.ts'
import { locked } from '../node/policy/guards.ts'
import { STATES } from '../node/workflow/states.ts'
import type { Worker } from '../node/run/worker.ts'
import { Inspected } from './inspected.ts'
import { checkInput, z } from './node-input.ts'
import { gateBody, type ApiRequest, type BodylessRequest, type Route, type RouteParts } from './route.ts'
import { links, MASK } from './views.ts'

export interface RamdiskParts extends RouteParts {
  readonly worker: Worker
  readonly clock: Clock
  readonly tokenKey: Buffer
  /** Of a boot room's token: throws `agent.token` where the room may not boot that node. */
  readonly checkToken?: (token: BootToken) => Promise<void>
  readonly agents: Pick<AgentService, 'heartbeat' | 'finishInspection'>
  /** Throws `store.doubt` while nothing may be ordered of an agent. */
  readonly mayAct?: () => void
}

const HEARTBEAT_FIELDS = {
  agent_version: 36,
  agent_token: 62,
  agent_verify_ca: 68,
  agent_status: 72,
  agent_status_message: 72,
}
const HEARTBEAT_TIMEOUT_SECONDS = 300

const Heartbeat = z.strictObject({
  callback_url: z.string().max(2048),
  agent_version: z.string().max(64).nullish(),
  agent_token: z.string().max(512).nullish(),
  agent_verify_ca: z.string().max(65_536).nullish(),
  agent_status: z.enum(['start', 'end', 'error']).nullish(),
  agent_status_message: z.string().max(4096).nullish(),
})

export function ramdiskRoutes(parts: RamdiskParts): Route[] {
  const { store, nodes, worker } = parts
  const hidden = () => new Fault('object.missing', 'there is no such node, or it has nothing for an agent now')

  const known = async (ident: string): Promise<NodeRecord> => {
    const node = await nodes.find(ident).catch(() => undefined)
    if (!node) throw hidden()
    return node
  }

  /** The node and its token, if that was minted here; whether it is of the present boot is not looked at. */
  const minted = async (ident: string, token: string | null | undefined) => {
    parts.mayAct?.()
    const node = await known(ident)
    if (!token) throw new Fault('agent.token', 'agent_token is missing: it stands in the boot script')
    const read = readToken(parts.tokenKey, token)
    await parts.checkToken?.(read)
    if (read.nodeUuid !== node.uuid) throw new Fault('agent.token', 'agent_token is of another node')
    return { node, read }
  }

  /** The node, if the token is of its present boot. */
  const proven = async (ident: string, token: string | null | undefined): Promise<NodeRecord> => {
    const { node, read } = await minted(ident, token)
    if (isLocked(node)) throw locked(node)
    const sessionHash = createHash('sha256').update(`heartbeat ${token}`).digest('hex')
    return worker.dispatch(node.uuid, {
      type: 'hello',
      agent: { sessionHash, generation: read.generation, tokenMs: read.mintedMs, helloAtMs: parts.clock.now() },
    })
  }

  return [
    {
      method: 'get',
      path: '/v1/lookup',
      role: 'public',
      since: 22,
      query: { addresses: 22, node_uuid: 22 },
      summary: 'tells an agent which node it runs on',
      async handle(request) {
        const uuid = request.query.text('node_uuid')
        const addresses = request.query.words('addresses')?.map((mac) => mac.toLowerCase()) ?? []
        if (uuid === undefined && addresses.length === 0)
          throw new Fault('input.missing', 'addresses or node_uuid: give one of them')
        const found = new Set<string>(uuid === undefined ? [] : [uuid.toLowerCase()])
        if (uuid === undefined)
          for (const mac of addresses.slice(0, 256)) found.add((await store.portByAddress(mac))?.nodeUuid ?? '')
        found.delete('')
        const node = found.size === 1 ? await store.node([...found][0] as string) : undefined
        if (!node || !STATES[node.provisionState].lookup) throw hidden()
        return { body: lookupBody(request, node) }
      },
    },
    {
      method: 'post',
      path: '/v1/heartbeat/:ident',
      role: 'public',
      since: 22,
      summary: 'takes a sign of life of an agent',
      takes: 'ramdisk',
      admit: async (request) => void (await known(request.params.ident ?? '')),
      async handle(request) {
        gateBody(request, request.body, HEARTBEAT_FIELDS)
        const beat = checkInput(Heartbeat, request.body)
        if (!/^https?:\/\/[^\s/]+/.test(beat.callback_url))
          throw new Fault('input.invalid', 'callback_url is no http or https URL')
        const node = await proven(request.params.ident ?? '', beat.agent_token)
        await parts.agents.heartbeat(node, beat.callback_url)
        if (beat.agent_status === 'end')
          await worker.dispatch(node.uuid, { type: 'agent-done', orderId: orderId(node) })
        if (beat.agent_status === 'error') {
          const text = `the agent failed: ${beat.agent_status_message ?? 'it did not say why'}`
          await worker.dispatch(node.uuid, {
            type: 'agent-failed',
            orderId: orderId(node),
            fault: { code: 'agent.broken', text, retry: false },
          })
        }
        return { status: 202 }
      },
    },
    {
      method: 'post',
      path: '/v1/continue_inspection',
      role: 'public',
      since: 84,
      query: { node_uuid: 84, agent_token: 84 },
      summary: 'takes the inventory that an agent found',
      takes: 'ramdisk',
      admit: async (request) => void (await minted(inspectedNode(request), request.query.text('agent_token'))),
      async handle(request) {
        const found = checkInput(Inspected, request.body)
        const node = await proven(inspectedNode(request), request.query.text('agent_token'))
        if (node.provisionState !== 'inspect wait')
          throw new Fault(
            'node.state',
            `node ${node.uuid} is in state "${node.provisionState}" and waits for no inventory`,
          )
        await parts.agents.finishInspection(node, found)
        return { status: 202, body: lookupBody(request, node) }
      },
    },
  ]
}

function inspectedNode(request: BodylessRequest): string {
  const uuid = request.query.text('node_uuid')
  if (uuid === undefined) throw new Fault('input.missing', 'node_uuid is missing')
  return uuid
}

const lookupBody = (request: ApiRequest, node: NodeRecord) => ({
  node: {
    uuid: node.uuid,
    properties: node.properties,
    instance_info: {},
    driver_internal_info: {},
    links: links(request.view, `nodes/${node.uuid}`),
  },
  config: {
    metrics: {},
    metrics_statsd: {},
    heartbeat_timeout: HEARTBEAT_TIMEOUT_SECONDS,
    agent_token: MASK,
    agent_token_required: true,
    agent_md5_checksum_enable: false,
    disable_deep_image_inspection: false,
    permitted_image_formats: ['raw', 'qcow2'],
    agent_skip_bmc_detect: false,
    agent_containers: {},
  },
})
