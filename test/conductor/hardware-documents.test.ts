/** What is read of a server through its BMC is stored with the events that it brings, or not at all. */
import Database from 'better-sqlite3'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { biosDocument, firmwareDocument, keepBios, keepFirmware } from '../../conductor/node/hardware-documents.ts'
import { newNode } from '../../conductor/node/record.ts'
import { Seal } from '../../conductor/store/secrets.ts'
import { SqliteStore } from '../../conductor/store/sqlite.ts'
import { systemRandom } from '../../kit/random.ts'

const UUID = '00000000-0000-4000-8000-000000000001'
let dir = ''
let store: SqliteStore
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-hardware-'))
  store = new SqliteStore(join(dir, 'r.db'), new Seal(Buffer.alloc(32, 1), systemRandom))
  await store.addNode(newNode({ uuid: UUID, driver: 'redfish' }, 0))
})
afterEach(async () => {
  await store.close()
  await rm(dir, { recursive: true })
})

const readBios = (cores: number, more: object = {}) =>
  keepBios({ store, limits: { biosSettings: 10 } }, UUID, {
    now: { current: { ProcCores: cores }, pending: {} } as never,
    registry: [],
    atMs: cores,
    ...more,
  })
const readFirmware = (version: string, more: object = {}) =>
  keepFirmware(store, UUID, { seen: [{ component: 'bios', version, target: null }] as never, atMs: 1, ...more })

/** The store refuses this event, as at a full disk or the end of the process. */
async function withoutDrift(act: () => Promise<unknown>): Promise<void> {
  const db = new Database(join(dir, 'r.db'))
  db.exec(`CREATE TRIGGER no_drift BEFORE INSERT ON events WHEN NEW.kind = 'drift'
    BEGIN SELECT RAISE(ABORT, 'the process ends here'); END`)
  await expect(act()).rejects.toThrow()
  db.exec('DROP TRIGGER no_drift')
  db.close()
}
const drifts = async () => (await store.journal.after(0, { kinds: ['drift'] }, 10)).map(({ detail }) => detail)

test('a setting that drifted while its event could not be stored is an event of the next reading', async () => {
  await readBios(16, { applied: { ProcCores: 16 } })
  await withoutDrift(() => readBios(8))
  expect((await biosDocument(store, UUID))?.settings[0]?.value).toBe('16')

  await readBios(8)
  await readBios(8)
  expect(await drifts()).toEqual([{ what: 'bios', name: 'ProcCores', applied: '16', now: '8' }])
})

test('so is a version of firmware', async () => {
  await readFirmware('2.0', { flashed: 'bios' })
  await withoutDrift(() => readFirmware('1.9'))
  expect((await firmwareDocument(store, UUID))?.components[0]?.currentVersion).toBe('2.0')

  await readFirmware('1.9')
  await readFirmware('1.9')
  expect(await drifts()).toEqual([{ what: 'firmware', name: 'bios', applied: '2.0', now: '1.9' }])
})
