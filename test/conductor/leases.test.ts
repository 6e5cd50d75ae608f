/** Leases in their file: they are there again after a restart, also after one that nobody announced. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { SqliteLeases } from '../../conductor/boot/leases.ts'
import { LeaseBook } from '../../pxe/dhcp/leases.ts'
import { parseSubnet } from '../../pxe/addresses.ts'

test('an acknowledged lease is kept, an offered one is not, a forgotten one is gone', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'rackward-leases-'))
  const at = { pool: { subnet: parseSubnet('10.0.0.0/24'), first: '10.0.0.5', last: '10.0.0.9' }, taken: new Set<string>(), nowMs: 1 }
  // Never closed: the process just ends.
  const book = new LeaseBook(new SqliteLeases(join(dir, 'leases.db')))
  for (const mac of ['a', 'b', 'c']) book.choose(mac, at)
  book.confirm('a', '10.0.0.5', 1000)
  book.confirm('b', '10.0.0.6', 1000)
  book.forget('b')
  const store = new SqliteLeases(join(dir, 'leases.db'))
  const again = new LeaseBook(store)
  expect(['a', 'b', 'c'].map((mac) => again.leaseOf(mac)?.ip)).toEqual(['10.0.0.5', undefined, undefined])
  expect(again.choose('d', at)).toBe('10.0.0.6')
  store.close()
  await rm(dir, { recursive: true })
})
