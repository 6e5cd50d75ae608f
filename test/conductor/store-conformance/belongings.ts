/** What every store keeps to: what belongs to nodes, the lesser resources, and the whole after a restart. */
import { expect, test } from 'vitest'
import { systemRandom } from '../../../kit/random.ts'
import { make, next, objectOf, PAGE, portOf, uuids, type Bench } from './bench.ts'

export function belongingConformance(bench: Bench): void {
  test('ports: versions, what is unique, the address that DHCP gave, what was seen of the card', async () => {
    const node = await bench.added({ shard: 'of ports', owner: 'green' })
    const port = portOf(node, { name: `p${next()}`, extra: { ipv4_address: '10.9.9.9' } })
    await bench.store.addPort(port)
    await expect(bench.store.addPort(portOf(node, { address: port.address }))).rejects.toMatchObject({
      detail: expect.stringContaining('address') as string,
    })
    await expect(bench.store.addPort(portOf(make()))).rejects.toMatchObject({ code: 'object.conflict' })

    await bench.store.learnPortIp(port.address, '10.0.0.5')
    const put = await bench.store.putPort({ ...port, isSmartnic: true })
    expect(put.version).toBe(1)
    await expect(bench.store.putPort(port)).rejects.toMatchObject({ code: 'store.moved' })
    expect((await bench.store.port(port.uuid.toUpperCase()))?.internalInfo).toEqual({ ipv4_address: '10.0.0.5' })
    expect((await bench.store.port(port.name as string))?.isSmartnic).toBe(true)
    expect((await bench.store.portByAddress(port.address))?.uuid).toBe(port.uuid)
    for (const filter of [
      { heldIp: '10.0.0.5' },
      { fixedIp: '10.9.9.9' },
      { shard: ['of ports'] },
      { project: 'green' },
      { nodeUuid: node.uuid },
    ])
      expect(uuids(await bench.store.ports(filter, { ...PAGE, sortKey: 'is_smartnic' }))).toEqual([port.uuid])

    expect(await bench.store.notePort(port.address, 'card', { model: '8086:1' })).toBeUndefined()
    expect(await bench.store.notePort(port.address, 'card', { model: '8086:2' })).toEqual({ model: '8086:1' })
    expect(await bench.store.notePort('02:ff:ff:ff:ff:ff', 'card', { model: 'x' })).toBeUndefined()
    expect(await bench.store.portSightings(node.uuid)).toEqual([
      { portUuid: port.uuid, kind: 'card', saw: { model: '8086:2' } },
    ])
    await bench.store.removePort(port.uuid)
    expect(await bench.store.port(port.uuid)).toBeUndefined()
  })

  test('an address that DHCP gave to another card is no longer that of the card before', async () => {
    const node = await bench.added()
    const [first, second] = [portOf(node), portOf(node)]
    for (const port of [first, second]) await bench.store.addPort(port)
    const addressOf = async ({ uuid }: { uuid: string }) => (await bench.store.port(uuid))?.internalInfo.ipv4_address
    await bench.store.learnPortIp(first.address, '10.0.0.6')
    await bench.store.learnPortIp('02:ff:ff:ff:ff:fe', '10.0.0.6')
    expect(await addressOf(first)).toBe('10.0.0.6')
    await bench.store.learnPortIp(second.address, '10.0.0.6')
    expect([await addressOf(first), await addressOf(second)]).toEqual([undefined, '10.0.0.6'])
  })

  test('objects: versions, names of a kind, filters by fields, secrets', async () => {
    const node = await bench.added({ owner: 'violet' })
    const one = objectOf('runbook', { name: `CUSTOM_${next()}`, body: { public: true, owner: null, steps: [1] } })
    const two = objectOf('runbook', { name: 'CUSTOM_TWO', body: { public: false, owner: 'violet' } })
    for (const object of [one, two]) await bench.store.objects.add(object)
    await bench.store.objects.add({ ...objectOf('other'), name: one.name })
    await expect(bench.store.objects.add({ ...objectOf('runbook'), name: one.name })).rejects.toMatchObject({
      code: 'object.conflict',
      detail: expect.stringContaining('name') as string,
    })
    const put = await bench.store.objects.put({ ...one, body: { ...one.body, steps: [2] } })
    expect(put.version).toBe(1)
    await expect(bench.store.objects.put(one)).rejects.toMatchObject({ code: 'store.moved' })
    expect(await bench.store.objects.find('runbook', one.name as string)).toEqual(put)
    const list = async (filter: object) => uuids(await bench.store.objects.list('runbook', filter, PAGE))
    expect(await list({ readableBy: 'violet' })).toEqual(uuids([one, two]))
    expect(await list({ readableBy: 'red' })).toEqual([one.uuid])
    expect(await list({ ownedBy: 'violet' })).toEqual([two.uuid])
    expect(await list({ where: { public: true } })).toEqual([one.uuid])

    const targets = [3, 1, 20, null].map((index) =>
      objectOf('volume target', {
        nodeUuid: node.uuid,
        body: { boot_index: index, properties: { auth_password: 'p' } },
      }),
    )
    for (const target of targets) await bench.store.objects.add(target)
    const sorted = await bench.store.objects.list(
      'volume target',
      { project: 'violet' },
      { ...PAGE, sortKey: 'boot_index' },
    )
    expect(sorted.map((target) => target.body.boot_index)).toEqual([null, 1, 3, 20])
    expect(sorted[0]?.body.properties).toEqual({ auth_password: 'p' })
    await bench.store.removeNode(node.uuid)
    expect(await bench.store.objects.every('volume target')).toEqual([])
    await bench.store.objects.remove('runbook', one.uuid)
    expect(uuids(await bench.store.objects.every('runbook'))).toEqual([two.uuid])
  })

  test('objects that are added together: all or none, in order, with their secrets', async () => {
    const many = Array.from({ length: 300 }, (_, i) =>
      objectOf('rollout turn', { body: { type: 'r', position: i, secret_item: { password: `x\u0000${i}` } } }),
    )
    await bench.store.objects.addAll([])
    await bench.store.objects.addAll(many)
    expect(await bench.store.objects.every('rollout turn')).toEqual(many)
    const [one] = many
    if (!one) throw new Error('none')
    await expect(bench.store.objects.addAll([objectOf('rollout turn'), one])).rejects.toMatchObject({
      code: 'object.conflict',
    })
    expect((await bench.store.objects.every('rollout turn')).length).toBe(300)
    for (const { uuid } of many) await bench.store.objects.remove('rollout turn', uuid)
  })

  test('a node takes with it what belongs to it; what happened to it is kept', async () => {
    const node = await bench.added()
    const port = portOf(node)
    await bench.store.addPort(port)
    await bench.store.putInventory(node.uuid, { a: 'x\u0000y' })
    await bench.store.putInventory(node.uuid, { a: 'x\u0000z' })
    await bench.store.putHardware(node.uuid, 'bios', {
      document: [1],
      events: [{ atMs: 2, nodeUuid: node.uuid, kind: 'drift', detail: {} }],
    })
    expect([await bench.store.inventory(node.uuid), await bench.store.hardware(node.uuid, 'bios')]).toEqual([
      { a: 'x\u0000z' },
      [1],
    ])
    await bench.store.removeNode(node.uuid)
    expect([
      await bench.store.node(node.uuid),
      await bench.store.port(port.uuid),
      await bench.store.inventory(node.uuid),
      await bench.store.hardware(node.uuid, 'bios'),
    ]).toEqual([undefined, undefined, undefined, undefined])
    expect(await bench.eventsOf(node)).toEqual(['node-added', 'drift'])
    await expect(bench.store.putInventory(node.uuid, {})).rejects.toMatchObject({ code: 'object.conflict' })
  })

  test('a config drive is its node’s while the record refers to it, and goes when it does no more', async () => {
    const node = await bench.added()
    const big = systemRandom.bytes(2_500_000)
    const drive = await bench.store.addConfigDrive(node.uuid, systemRandom.uuid(), Buffer.from(big))
    expect(drive.pieces).toBe(3)
    const put = await bench.store.putNode({ ...node, configDrive: drive })
    await bench.store.removeConfigDrive(drive.id)
    expect(Buffer.compare((await bench.store.configDrive(node.uuid, drive)) as Buffer, big)).toBe(0)

    const other = await bench.store.addConfigDrive(node.uuid, systemRandom.uuid(), { meta_data: { a: 1 } })
    const loose = await bench.store.addConfigDrive(node.uuid, systemRandom.uuid(), { loose: true })
    await bench.store.putNode({ ...put, configDrive: other })
    expect(await bench.store.configDrive(node.uuid, other)).toEqual({ meta_data: { a: 1 } })
    await expect(bench.store.configDrive(node.uuid, drive)).rejects.toMatchObject({ code: 'store.damaged' })
    await bench.store.survey()
    await expect(bench.store.configDrive(node.uuid, loose)).rejects.toMatchObject({ code: 'store.damaged' })
    expect(await bench.store.configDrive(node.uuid, other)).toEqual({ meta_data: { a: 1 } })
  })

  test('cursors and conductors', async () => {
    expect(await bench.store.journal.cursor('hook')).toBeUndefined()
    await bench.store.journal.setCursor('hook', 3)
    await bench.store.journal.setCursor('hook', 5)
    expect(await bench.store.journal.cursor('hook')).toBe(5)
    const row = { hostname: 'a', conductorGroup: '', drivers: ['ipmi'], startedAtMs: 1, aliveAtMs: 2 }
    await bench.store.putConductor(row)
    await bench.store.putConductor({ ...row, aliveAtMs: 3 })
    expect(await bench.store.conductors()).toEqual([{ ...row, aliveAtMs: 3 }])
    expect(await bench.store.writeFailure()).toBeUndefined()
    expect(await bench.store.alive()).toBe(true)
  })

  test('everything is there after the store was closed and opened again', async () => {
    const node = await bench.added({ driverInfo: { ipmi_password: 'battery staple' } })
    const put = await bench.store.putNode({ ...node, description: 'kept' })
    const lastSeq = await bench.store.journal.lastSeq()
    await bench.reopen()
    expect(await bench.store.node(node.uuid)).toEqual(put)
    expect(await bench.store.journal.lastSeq()).toBe(lastSeq)
    expect(uuids(await bench.store.everyNode())).toContain(node.uuid)
  })
}
