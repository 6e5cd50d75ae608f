/** Random records written through the store itself, in whatever order and number; some are changed and removed again,
 *  so that numbers have gaps. */
import type fc from 'fast-check'
import type { Store } from '../../../conductor/store/port.ts'
import { newNode, type NodeRecord } from '../../../conductor/node/record.ts'
import { PORT_DEFAULTS } from '../../../conductor/store/port.ts'

export interface Act {
  readonly do: 'node' | 'owner' | 'pending' | 'remove' | 'port' | 'object' | 'drive' | 'event' | 'prune' | 'document'
  readonly n: number
  readonly text: string
  readonly number: number
}

const KINDS: Act['do'][] = 'node owner pending remove port object drive event prune document'.split(' ') as never

/** Texts that a database may stumble over, but for NUL. */
export const actsOf = (check: typeof fc): fc.Arbitrary<Act[]> =>
  check.array(
    check.record({
      do: check.oneof(check.constant('node' as const), check.constantFrom(...KINDS)),
      n: check.integer({ min: 1, max: 12 }),
      text: check
        .oneof(
          check.string({ unit: 'grapheme', maxLength: 12 }),
          check.constantFrom("'; --", '\\x', '{"a":1}', '\u{1F4A9}'),
        )
        .map((text) => text.replaceAll('\0', '')),
      number: check.integer({ min: 0, max: 2 ** 40 }),
    }),
    { minLength: 10, maxLength: 60 },
  )

const uuid = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`

export async function act(store: Store, { do: what, n, text, number }: Act): Promise<void> {
  const node = await store.node(uuid(n))
  const change = (
    more: Partial<NodeRecord>,
    events = [{ atMs: number, nodeUuid: uuid(n), kind: 'x', detail: { text } }],
  ) => node && store.putNode({ ...node, ...more }, events)
  if (what === 'node' && !node)
    await store.addNode({
      ...newNode(
        { uuid: uuid(n), driver: 'ipmi', driverInfo: { ipmi_address: `192.0.2.${n}`, ipmi_password: text } },
        number,
      ),
      name: number % 2 ? `n${n}` : null,
      owner: number % 3 ? 'a' : null,
      description: text,
      vifs: number % 5 ? {} : { [text || 'v']: {} as never },
    })
  if (what === 'owner')
    await change({ owner: number % 2 ? 'a' : 'b', lessee: text || null, maintenance: number % 3 === 0 })
  if (what === 'pending' && node)
    await change({
      workflow: { ...node.workflow, deadlineMs: number, pendingEffects: number % 2 ? [{ do: 'publish' }] : [] },
    })
  if (what === 'remove') await store.removeNode(uuid(n))
  if (what === 'event')
    await store.journal.add({ atMs: number, nodeUuid: n % 2 ? uuid(n) : null, kind: 'x', detail: { text } })
  if (what === 'event') await store.journal.setCursor(text, number)
  if (what === 'prune') await store.journal.prune(number, 2)
  if (what === 'object') {
    const body = { description: text, priority: number, public: number % 2 === 0, properties: { auth_password: text } }
    const object = { kind: n % 2 ? 'volume target' : 'deploy template', uuid: uuid(100 + n), version: 0, name: `o${n}` }
    const rest = { nodeUuid: node ? node.uuid : null, uniqueKey: null, createdAtMs: number, updatedAtMs: null, body }
    await store.objects.add({ ...object, ...rest }).catch(() => undefined)
  }
  if (!node) return
  if (what === 'port') {
    const address = `02:00:00:00:00:${n.toString(16).padStart(2, '0')}`
    const port = { ...PORT_DEFAULTS, uuid: uuid(200 + n), nodeUuid: node.uuid, address, createdAtMs: number }
    await store.addPort({ ...port, description: text, extra: { text } }).catch(() => undefined)
    await store.learnPortIp(address, `192.0.2.${number % 5}`)
    await store.notePort(address, 'dhcp' as never, { text } as never)
  }
  if (what === 'drive') {
    const drive = await store.addConfigDrive(node.uuid, `${node.uuid}.${number}`, { 'user-data': text })
    await change({ configDrive: drive })
  }
  if (what === 'document') {
    await store.putInventory(node.uuid, { text })
    const took = {
      atMs: number,
      nodeUuid: node.uuid,
      kind: 'state',
      detail: { model: text, from: 'deploying', tookMs: 5 },
    }
    await store.putHardware(node.uuid, 'bios', { document: { text } as never, events: [took] })
    await store.putConductor({
      hostname: `c${n}`,
      conductorGroup: text,
      drivers: [],
      startedAtMs: 1,
      aliveAtMs: number,
    })
  }
}
