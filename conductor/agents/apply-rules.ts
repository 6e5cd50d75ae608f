/** Stored inspection rules -> what they make of a node and its ports. */
import { isDeepStrictEqual } from 'node:util'
import { Fault } from '../../kit/fault.ts'
import type { Log } from '../../kit/log.ts'
import { checkInput, NodePatched } from '../api/node-input.ts'
import { fromWire, keepMasked, toWire } from '../api/nodes/wire.ts'
import type { NodeRecord } from '../node/record.ts'
import { untilFresh } from '../store/again.ts'
import type { Store } from '../store/port.ts'
import { makeCalls, type RuleCallParts } from './rule-calls.ts'
import { runRules, type Rule, type Subject } from './rules.ts'

const EVERY_PORT = { limit: 1000, sortKey: 'id', descending: false } as const

/** Fields of a port that a rule may change. */
const OF_PORT = ['extra', 'pxeEnabled', 'physicalNetwork', 'localLinkConnection', 'name'] as const

export async function applyRules(
  node: NodeRecord,
  found: { inventory: object; plugin_data: object },
  parts: { store: Store; log: Log; calls: RuleCallParts },
): Promise<{ patch: Partial<NodeRecord>; pluginData: object }> {
  const { store, log } = parts
  const rules = (await store.objects.every('inspection_rule')).map(
    (object) => ({ uuid: object.uuid, ...object.body }) as unknown as Rule,
  )
  if (rules.length === 0) return { patch: {}, pluginData: found.plugin_data }
  const ports = await store.ports({ nodeUuid: node.uuid }, EVERY_PORT)
  const subject: Subject = structuredClone({
    node: toWire(node),
    inventory: found.inventory as Record<string, unknown>,
    plugin_data: found.plugin_data as Record<string, unknown>,
    ports: Object.fromEntries(ports.map((port) => [port.address, { ...port }])),
    traits: [...node.traits],
    logged: [],
    calls: [],
  })
  runRules(rules, subject)
  for (const line of subject.logged) log.info({ node: node.uuid }, `inspection rule: ${line.slice(0, 1000)}`)
  await makeCalls(subject.calls, parts.calls)
  for (const port of ports) {
    const changed = subject.ports[port.address] ?? {}
    const fields = OF_PORT.filter(
      (field) => changed[field] !== undefined && !isDeepStrictEqual(changed[field], port[field]),
    )
    if (fields.length === 0) continue
    await untilFresh(async () => {
      const now = await store.port(port.uuid)
      if (now) await store.putPort({ ...now, ...Object.fromEntries(fields.map((field) => [field, changed[field]])) })
    })
  }
  try {
    // The config drive is the user's.
    const { driver: _, configDrive: __, ...patch } = keepMasked(fromWire(checkInput(NodePatched, subject.node)), node)
    const { configdrive, ...instanceInfo } = patch.instanceInfo ?? {}
    if (configdrive !== undefined) throw new Error('instance_info/configdrive: a rule cannot give a config drive')
    return { patch: { ...patch, instanceInfo, traits: subject.traits }, pluginData: subject.plugin_data }
  } catch (error) {
    throw new Fault('inspect.rule', `the inspection rules made a node that cannot be: ${(error as Error).message}`, {
      cause: error,
    })
  }
}
