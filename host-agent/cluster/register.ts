/** What a node writes of itself to the store of the mesh. */
import { readFile } from 'node:fs/promises'
import type { Consul } from '../../kit/consul.ts'
import { Fault } from '../../kit/fault.ts'
import type { AgentConfig } from '../config.ts'
import { KEYS, MemberRecord, parsed } from '../protocol/records.ts'
import type { Snapshot } from './store.ts'

export const planesOf = (config: AgentConfig) =>
  config.planes as Partial<Record<'management' | 'storage' | 'tenant', { address: string; port: number }>>

export const memberOf = (config: AgentConfig, publicKey: string, systemUuid: string | null): MemberRecord => ({
  name: config.name,
  role: config.role,
  rack: config.rack ?? null,
  planes: planesOf(config),
  ticks: config.storage !== undefined && config.role === 'host',
  publicKey,
  systemUuid,
  node: config.node ?? null,
  reserved: config.reserved,
  api: config.api?.url ?? null,
})

export async function systemUuidOf(config: AgentConfig): Promise<string | null> {
  if (config.systemUuid) return config.systemUuid.toLowerCase()
  const text = await readFile('/sys/class/dmi/id/product_uuid', 'utf8').catch(() => '')
  return /^[0-9a-f-]{36}$/i.test(text.trim()) ? text.trim().toLowerCase() : null
}

/** Writes what this node is when the store says something else. A key that changed is refused: another machine may use
 *  the name. */
export async function register(consul: Consul, member: MemberRecord, snapshot: Snapshot): Promise<void> {
  const key = KEYS.members + member.name
  const held = snapshot.entries.find((entry) => entry.key === key)
  const known = held && parsed(MemberRecord, held.value)
  if (known && known.publicKey !== member.publicKey)
    throw new Fault(
      'object.conflict',
      `the mesh has a node ${member.name} with another key: remove it first (rackward mesh remove ${member.name})`,
    )
  if (known && JSON.stringify(known) === JSON.stringify(member)) return
  await consul.cas(key, member, held?.index ?? 0)
}
