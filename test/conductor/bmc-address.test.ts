/** One node per BMC address, however it is spelled; what an older database holds is kept and told. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { sharedBmcs } from '../../cli/doctor-api.ts'
import { bmcAddress } from '../../conductor/bmc/address.ts'
import { newNode, type NodeRecord } from '../../conductor/node/record.ts'
import { MIGRATIONS } from '../../conductor/store/migrations.ts'
import { loadSeal } from '../../conductor/store/secrets.ts'
import { SqliteStore } from '../../conductor/store/sqlite.ts'
import { systemRandom } from '../../kit/random.ts'

const ipmi = (driverInfo: Record<string, unknown>) => bmcAddress({ driver: 'ipmi', driverInfo })

describe('one spelling for one BMC', () => {
  test.each([
    [{ ipmi_address: 'BMC-1.Example' }, 'ipmi:bmc-1.example:623'],
    [{ ipmi_address: '10.0.0.1', ipmi_port: '623' }, 'ipmi:10.0.0.1:623'],
    [{ ipmi_address: '10.0.0.1', ipmi_port: 6230 }, 'ipmi:10.0.0.1:6230'],
    [{ ipmi_address: '10.1' }, 'ipmi:10.0.0.1:623'],
    [{ ipmi_address: '0x0A000001' }, 'ipmi:10.0.0.1:623'],
    [{ ipmi_address: '012.0.0.1' }, 'ipmi:10.0.0.1:623'],
    [{ ipmi_address: '2001:DB8:0:0::1' }, 'ipmi:2001:db8::1:623'],
    [{ ipmi_address: '::ffff:10.0.0.1' }, 'ipmi:10.0.0.1:623'],
    [{ ipmi_address: 'fe80::1%eth0' }, 'ipmi:fe80::1%eth0:623'],
    [{ ipmi_address: '10.0.0.1', ipmi_bridging: 'no', ipmi_target_address: '0x82' }, 'ipmi:10.0.0.1:623'],
  ])('%j is %s', (info, address) => expect(ipmi(info)).toBe(address))

  test('blades behind one BMC differ by their bridge', () => {
    const blade = (target: string) =>
      ipmi({ ipmi_address: '10.0.0.1', ipmi_bridging: 'single', ipmi_target_channel: '0', ipmi_target_address: target })
    expect(blade('0x82')).not.toBe(blade('0x84'))
    expect(blade('0x82')).not.toBe(ipmi({ ipmi_address: '10.0.0.1' }))
  })

  test('one blade has one spelling: numbers are compared as numbers, and keys that its bridge does not use do not count', () => {
    const blade = (more: Record<string, unknown>) =>
      ipmi({ ipmi_address: '10.0.0.1', ipmi_bridging: 'single', ipmi_target_channel: '0', ...more })
    const one = blade({ ipmi_target_address: '0x82' })
    for (const target of ['0x82', '0X82', '130', 130]) expect(blade({ ipmi_target_address: target })).toBe(one)
    expect(blade({ ipmi_target_address: '0x82', ipmi_transit_channel: '7', ipmi_transit_address: '0x20' })).toBe(one)
    expect(blade({ ipmi_target_address: '0x82', ipmi_target_channel: '7' })).not.toBe(one)
    const dual = { ipmi_bridging: 'dual', ipmi_target_address: '0x82', ipmi_transit_channel: 0 }
    expect(blade({ ...dual, ipmi_transit_address: '0x20' })).not.toBe(blade({ ...dual, ipmi_transit_address: '0x22' }))
  })

  test('a node without an address, or without a BMC, has none', () => {
    expect(ipmi({})).toBeNull()
    expect(bmcAddress({ driver: 'fake-hardware', driverInfo: { ipmi_address: '10.0.0.1' } })).toBeNull()
  })
})

describe('the store', () => {
  let dir = ''
  let store: SqliteStore
  const open = async () => new SqliteStore(join(dir, 'r.db'), await loadSeal(join(dir, 'key'), systemRandom))
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'rackward-bmc-address-'))
  })
  afterEach(async () => {
    await store.close()
    await rm(dir, { recursive: true })
  })
  const uuid = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`
  const node = (n: number, address: string, driver = 'ipmi') =>
    newNode({ uuid: uuid(n), driver, driverInfo: { ipmi_address: address } }, n)
  /** The record as version 0.1 stored it. */
  const firstForm = (record: NodeRecord) => {
    const { workflow, ...rest } = record
    const { pendingEffects: owed, pendingVersion: owing, ...machine } = workflow
    return JSON.stringify({ ...rest, machine: { ...machine, owed, owing } })
  }
  const conflict = { code: 'object.conflict', detail: expect.stringContaining('driver_info/ipmi_address') as string }

  test('a second node with the same BMC is refused, at enrolment and by a change, without naming the first', async () => {
    store = await open()
    await store.addNode(node(1, 'bmc-1'))
    await expect(store.addNode(node(2, 'BMC-1'))).rejects.toMatchObject(conflict)
    await store.addNode(node(2, 'bmc-2'))
    const moved = store.putNode({
      ...(await store.node(uuid(2)))!,
      driverInfo: { ipmi_address: 'bmc-1', ipmi_port: 623 },
    })
    await expect(moved).rejects.toMatchObject(conflict)
    await moved.catch((error: Error) => expect(error.message).not.toContain(uuid(1)))
    await store.addNode(node(3, 'bmc-1', 'fake-hardware'))
    await store.removeNode(uuid(1))
    await store.addNode(node(4, 'bmc-1'))
  })

  test('what an older program wrote in another spelling is the same BMC', async () => {
    const old = new Database(join(dir, 'r.db'))
    old.function('bmc_address', (_driver, _info) => null)
    const since = MIGRATIONS.findIndex((sql) => sql.includes('owner_seq'))
    for (const sql of MIGRATIONS.slice(0, since)) old.exec(sql)
    old.pragma(`user_version = ${since}`)
    old
      .prepare(
        "INSERT INTO nodes (uuid, provision_state, maintenance, driver, version, created_at, bmc, body) VALUES (?, 'enroll', 0, 'ipmi', 0, 0, 'ipmi:10.1:623', ?)",
      )
      .run(uuid(1), firstForm(node(1, '10.1')))
    old.close()
    store = await open()
    await expect(store.addNode(node(2, '10.0.0.1'))).rejects.toMatchObject(conflict)
    await store.putNode({ ...(await store.node(uuid(1)))!, powerState: 'power on' })
  })

  test('nodes of an older database that share a BMC are kept, can be saved, and know each other', async () => {
    const old = new Database(join(dir, 'r.db'))
    const since = MIGRATIONS.findIndex((sql) => sql.includes('bmc_address'))
    for (const sql of MIGRATIONS.slice(0, since)) old.exec(sql)
    old.pragma(`user_version = ${since}`)
    const insert = old.prepare(
      'INSERT INTO nodes (uuid, provision_state, maintenance, driver, version, created_at, body) VALUES (?, ?, 0, ?, 0, 0, ?)',
    )
    for (const [n, address] of [
      [1, '::ffff:10.0.0.1'],
      [2, '10.0.0.1'],
      [3, '10.0.0.3'],
    ] as const)
      insert.run(uuid(n), 'enroll', 'ipmi', firstForm(node(n, address)))
    old.close()
    store = await open()
    const first = (await store.node(uuid(1)))!
    expect(await store.sharersOfBmc(first)).toEqual([uuid(2)])
    const nodes = [1, 2, 3].map(async (n) => (await store.node(uuid(n)))!)
    const listed = (await Promise.all(nodes)).map(({ name, uuid, driver, driverInfo }) => ({
      name,
      uuid,
      driver,
      driver_info: driverInfo,
    }))
    expect(sharedBmcs(listed)).toEqual([
      expect.objectContaining({ level: 'bad', says: expect.stringContaining(`${uuid(1)} and ${uuid(2)}`) as string }),
    ])
    expect(await store.sharersOfBmc((await store.node(uuid(3)))!)).toEqual([])
    await store.putNode({ ...first, powerState: 'power on' })
    await expect(
      store.putNode({ ...(await store.node(uuid(3)))!, driverInfo: { ipmi_address: '10.0.0.1' } }),
    ).rejects.toMatchObject(conflict)
  })
})
