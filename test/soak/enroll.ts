/** The nodes of a soak: those of the honest load; beside them those of the tenant, the decoy, and the host that is
 *  fenced. */
import { until } from '../../kit/clock.ts'
import type { Client } from './client.ts'

/** Of the decoy's card. */
export const KNOWN_MAC = '52:54:00:00:99:01'
const REST_MS = 20_000

export interface Enrolled {
  /** Of the honest load. */
  readonly uuids: string[]
  readonly decoy: string
  readonly host: string
  readonly tenantNodes: readonly string[]
}

/** All but those of the honest load are active; decoy and host are on. */
export async function enrollNodes(admin: Client, count: number): Promise<Enrolled> {
  const create = async (more: object = {}) => {
    const { status, body } = await admin.call('POST', '/v1/nodes', { driver: 'fake-hardware', ...more })
    if (status !== 201) throw new Error(`creating a node: ${status} ${JSON.stringify(body)}`)
    return body.uuid as string
  }
  const uuids: string[] = []
  for (let i = 0; i < count; i += 1) uuids.push(await create({ name: `soak-${i}` }))
  const [decoy, host] = [await create({ name: 'decoy' }), await create({ name: 'host' })]
  const tenantNodes = [
    await create({ name: 'tenant-1', lessee: 'tenant' }),
    await create({ name: 'tenant-2', lessee: 'tenant' }),
  ]
  await admin.call('POST', '/v1/ports', { node_uuid: decoy, address: KNOWN_MAC })
  for (const uuid of [decoy, host, ...tenantNodes]) await activate(admin, uuid)
  for (const uuid of [decoy, host]) await admin.call('PUT', `/v1/nodes/${uuid}/states/power`, { target: 'power on' })
  return { uuids, decoy, host, tenantNodes }
}

async function activate(admin: Client, uuid: string): Promise<void> {
  for (const [verb, state] of [
    ['manage', 'manageable'],
    ['provide', 'available'],
    ['active', 'active'],
  ] as const) {
    await admin.call('PUT', `/v1/nodes/${uuid}/states/provision`, { target: verb })
    await until(async () => (await admin.call('GET', `/v1/nodes/${uuid}`)).body?.provision_state === state, {
      what: `${uuid} ${state}`,
      timeoutMs: REST_MS,
    })
  }
}
