/** The honest work: nodes that go through whole lives, and clients that read, write and watch. */
import type { Client } from './client.ts'
import type { Ledger } from './ledger.ts'
import { pause } from './pause.ts'

export interface Counts {
  lives: number
  reads: number
  writes: number
}

/** The verb that brings a node on from a state; undefined: it is on its way, or rests where nothing has to be done. */
const NEXT: Readonly<Record<string, string>> = {
  enroll: 'manage',
  manageable: 'provide',
  available: 'active',
  active: 'deleted',
  'clean failed': 'manage',
  'inspect failed': 'manage',
  'deploy failed': 'deleted',
  error: 'deleted',
}

/** States in which a node waits for nobody. */
export const RESTING = new Set(['enroll', 'manageable', 'available', 'active'])
const PAUSE_MS = 30

/** Takes every node of `uuids` on by one verb at a time, round and round, until `signal`. */
export async function live(
  client: Client,
  uuids: readonly string[],
  at: { counts: Counts; signal: AbortSignal },
): Promise<void> {
  while (!at.signal.aborted) {
    for (const uuid of uuids) {
      if (at.signal.aborted) return
      const { status, body } = await client.call('GET', `/v1/nodes/${uuid}?fields=provision_state,reservation`)
      const verb = status === 200 && body.reservation === null ? NEXT[body.provision_state as string] : undefined
      if (
        verb &&
        (await client.call('PUT', `/v1/nodes/${uuid}/states/provision`, { target: verb })).status === 202 &&
        verb === 'deleted'
      )
        at.counts.lives += 1
      // While nobody answers, asking faster helps nobody.
      await pause(status === 0 ? PAUSE_MS * 20 : PAUSE_MS)
    }
  }
}

const READS = [
  (uuid: string) => `/v1/nodes/${uuid}`,
  () => '/v1/nodes?limit=100',
  () => '/v1/nodes/detail?limit=50',
  (uuid: string) => `/rackward/v1/nodes/${uuid}/explain`,
  () => '/rackward/v1/events?limit=100',
  (uuid: string) => `/v1/nodes/${uuid}/history`,
  () => '/metrics',
] as const

/** One client: mostly reads, a counter written now and then, remembered in the ledger. `turn` picks what comes next; it
 *  is a number that grows. */
export async function browse(
  client: Client,
  uuids: readonly string[],
  at: { counts: Counts; ledger: Ledger; signal: AbortSignal; first: number },
): Promise<void> {
  for (let turn = at.first; !at.signal.aborted; turn += 1) {
    const uuid = uuids[(turn * 7919) % uuids.length] as string
    if (turn % 4 === 0) await write(client, uuid, at)
    else {
      const path = (READS[turn % READS.length] as (typeof READS)[number])(uuid)
      if ((await client.call('GET', path)).status === 200) at.counts.reads += 1
    }
    await pause(200 + (turn % 5) * 100)
  }
}

async function write(client: Client, uuid: string, at: { counts: Counts; ledger: Ledger }): Promise<void> {
  const value = at.ledger.begin(uuid)
  if (value === undefined) return
  const { status } = await client.call('PATCH', `/v1/nodes/${uuid}`, [{ op: 'add', path: '/extra/count', value }])
  at.ledger.end(uuid, value, status === 200)
  if (status === 200) at.counts.writes += 1
}

/** The counters that are stored now, by node. */
export async function storedCounts(client: Client): Promise<Map<string, number>> {
  const found = new Map<string, number>()
  for (let marker = ''; ;) {
    const { status, body } = await client.call(
      'GET',
      `/v1/nodes?fields=uuid,extra,provision_state,reservation&limit=500${marker && `&marker=${marker}`}`,
    )
    if (status !== 200) throw new Error(`listing nodes: ${status}`)
    for (const node of body.nodes) found.set(node.uuid, Number(node.extra.count ?? 0))
    if (body.nodes.length === 0) return found
    marker = body.nodes.at(-1).uuid
  }
}

/** Nodes that do not rest. */
export async function busyNodes(client: Client): Promise<{ uuid: string; state: string; locked: boolean }[]> {
  const found: { uuid: string; state: string; locked: boolean }[] = []
  for (let marker = ''; ;) {
    const { status, body } = await client.call(
      'GET',
      `/v1/nodes?fields=uuid,provision_state,reservation&limit=500${marker && `&marker=${marker}`}`,
    )
    if (status !== 200) throw new Error(`listing nodes: ${status}`)
    for (const node of body.nodes)
      if (node.reservation !== null || !RESTING.has(node.provision_state))
        found.push({ uuid: node.uuid, state: node.provision_state, locked: node.reservation !== null })
    if (body.nodes.length === 0) return found
    marker = body.nodes.at(-1).uuid
  }
}
