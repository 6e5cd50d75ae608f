/** Leases in their file: they are there again after a restart, also after one that nobody announced. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { expect, test } from 'vitest'
import { SqliteLeases } from '../../conductor/boot/leases.ts'
import { LeaseBook } from '../../pxe/dhcp/leases.ts'
import { parseSubnet } from '../../pxe/addresses.ts'

test('an acknowledged lease is kept, an offered one is not, a forgotten one is gone', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'rackward-leases-'))
  const pool = { subnet: parseSubnet('10.0.0.0/24'), first: '10.0.0.5', last: '10.0.0.9', reserved: new Set<string>() }
  const at = { pool, moving: true, isFixed: () => false, nowMs: 1 }
  // Never closed: the process just ends.
  const book = new LeaseBook(new SqliteLeases(join(dir, 'leases.db')), { declinesPerMac: 3 })
  for (const mac of ['a', 'b', 'c']) book.choose(mac, at)
  book.confirm('a', '10.0.0.5', 1000)
  book.confirm('b', '10.0.0.6', 1000)
  book.commit()
  book.forget('b')
  book.commit()
  const store = new SqliteLeases(join(dir, 'leases.db'))
  const again = new LeaseBook(store, { declinesPerMac: 3 })
  expect(['a', 'b', 'c'].map((mac) => again.leasesOf(mac)[0]?.ip)).toEqual(['10.0.0.5', undefined, undefined])
  expect(again.choose('d', at)).toEqual({ ip: '10.0.0.6' })
  store.close()
  await rm(dir, { recursive: true })
})

test('leases of a file of before are taken over, each address once', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'rackward-leases-'))
  const path = join(dir, 'leases.db')
  const before = new Database(path)
  before.exec('CREATE TABLE leases (mac TEXT PRIMARY KEY, ip TEXT NOT NULL, expires_at INTEGER NOT NULL) STRICT')
  before.exec("INSERT INTO leases VALUES ('a', '10.0.0.5', 1), ('b', '10.0.0.6', 3), ('c', '10.0.0.6', 2)")
  before.close()
  for (let start = 0; start < 2; start += 1) {
    const store = new SqliteLeases(path)
    expect(store.load()).toEqual([
      { ip: '10.0.0.5', mac: 'a', expiresAtMs: 1 },
      { ip: '10.0.0.6', mac: 'b', expiresAtMs: 3 },
    ])
    store.close()
  }
  await rm(dir, { recursive: true })
})

test('how loaders did survives a restart, beside the leases', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'rackward-leases-'))
  const first = new SqliteLeases(join(dir, 'leases.db'))
  for (const card of ['a', 'b']) first.loaders.save({ card, file: 'ipxe.efi', worked: true, silent: 0 })
  first.loaders.save({ card: 'a', file: 'snponly.efi', worked: false, silent: 1 })
  first.loaders.save({ card: 'a', file: 'snponly.efi', worked: false, silent: 2 })
  first.loaders.remove({ card: 'b', file: 'ipxe.efi' })
  first.close()
  const again = new SqliteLeases(join(dir, 'leases.db'))
  expect(again.loaders.load()).toEqual([
    { card: 'a', file: 'ipxe.efi', worked: true, silent: 0 },
    { card: 'a', file: 'snponly.efi', worked: false, silent: 2 },
  ])
  again.close()
  await rm(dir, { recursive: true })
})

test('a file whose leases have row ids becomes one tree, which a program of before reads and writes', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'rackward-leases-'))
  const path = join(dir, 'leases.db')
  const before = new Database(path)
  before.exec('CREATE TABLE addresses (ip TEXT PRIMARY KEY, mac TEXT NOT NULL, expires_at INTEGER NOT NULL) STRICT')
  before.exec("INSERT INTO addresses VALUES ('10.0.0.5', 'a', 1)")
  before.close()
  const store = new SqliteLeases(path)
  store.save({ ip: '10.0.0.6', mac: 'b', expiresAtMs: 2 })
  store.close()
  const older = new Database(path)
  expect(older.prepare("SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = 'addresses'").all()).toEqual(
    [],
  )
  older.prepare('INSERT OR REPLACE INTO addresses (ip, mac, expires_at) VALUES (?, ?, ?)').run('10.0.0.7', 'c', 3)
  older.close()
  const again = new SqliteLeases(path)
  expect(again.load().map(({ ip, mac }) => `${ip} ${mac}`)).toEqual(['10.0.0.5 a', '10.0.0.6 b', '10.0.0.7 c'])
  again.close()
  await rm(dir, { recursive: true })
})
