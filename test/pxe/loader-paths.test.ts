/** The loader that worked on a card model is given again; the next one after a boot that fell silent. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { LoaderPaths, type LoaderRecord } from '../../pxe/loader-paths.ts'

const FILES = ['snponly.efi', 'ipxe.efi', 'bootx64.efi']

class Memory {
  readonly rows = new Map<string, LoaderRecord>()
  load = () => [...this.rows.values()]
  save = (row: LoaderRecord) => void this.rows.set(`${row.card} ${row.file}`, row)
  remove = ({ card, file }: Pick<LoaderRecord, 'card' | 'file'>) => void this.rows.delete(`${card} ${file}`)
}

function bench(store = new Memory()) {
  const paths = new LoaderPaths(store)
  let nowMs = 0
  const pick = (mac: string, more: { card?: string; files?: readonly string[]; asksAnew?: boolean } = {}) =>
    paths.pick(mac, { card: 'x710', files: FILES, asksAnew: true, nowMs, ...more })
  /** A boot that begins: the firmware asks, and fetches what it is told; a minute later it asks again. */
  const boot = (mac: string, works: boolean) => {
    const file = pick(mac)?.file
    if (file === undefined) return undefined
    expect(pick(mac, { asksAnew: false })?.file).toBe(file)
    paths.fetched(mac, file, nowMs)
    nowMs += 1_000
    paths.fetched(mac, file, nowMs)
    if (works) paths.worked(mac)
    nowMs += 60_000
    return file
  }
  return { paths, store, pick, boot, pass: (ms: number) => (nowMs += ms), now: () => nowMs }
}

test('a boot that falls silent gets the next loader, and the first one again when all were tried', () => {
  const { boot } = bench()
  expect([1, 2, 3, 4].map(() => boot('a', false))).toEqual([...FILES, 'snponly.efi'])
})

test('the loader that takes the place of a silent one says so once', () => {
  const { boot, pick } = bench()
  boot('a', false)
  expect(pick('a')).toEqual({ file: 'ipxe.efi', insteadOf: ['snponly.efi'] })
  expect(pick('a')).toEqual({ file: 'ipxe.efi', insteadOf: [] })
})

test('the loader that worked is the first one for each card of that model, and for no other', () => {
  const { boot, pick } = bench()
  boot('a', false)
  expect(boot('a', true)).toBe('ipxe.efi')
  expect([pick('a')?.file, pick('b')?.file, pick('c', { card: 'cx5' })?.file]).toEqual([
    'ipxe.efi',
    'ipxe.efi',
    'snponly.efi',
  ])
})

test('one boot that ends early does not take a loader that worked from its card model', () => {
  const { boot } = bench()
  expect([boot('a', true), boot('b', false), boot('b', true), boot('b', true)]).toEqual([
    'snponly.efi',
    'snponly.efi',
    'ipxe.efi',
    'snponly.efi',
  ])
})

test('a loader that falls silent again and again comes last, although it worked once', () => {
  const { boot, pick } = bench()
  boot('a', true)
  for (const mac of ['b', 'c']) {
    boot(mac, false)
    pick(mac)
  }
  expect(boot('d', true)).toBe('ipxe.efi')
})

test('firmware that repeats its request, or fetched nothing, keeps its loader', () => {
  const { paths, pick, pass, now } = bench()
  pick('a')
  pass(120_000)
  expect(pick('a')?.file).toBe('snponly.efi')
  paths.fetched('a', 'snponly.efi', now())
  pass(1_000)
  expect(pick('a')?.file).toBe('snponly.efi')
  pass(60_000)
  expect(pick('a', { asksAnew: false })?.file).toBe('snponly.efi')
})

test('firmware that fetches a loader every few seconds, because it refuses to start it, gets the next one', () => {
  const { paths, pick, pass, now } = bench()
  const files = [0, 4_000, 4_000].map((ms) => {
    pass(ms)
    const file = pick('a')?.file ?? ''
    paths.fetched('a', file, now())
    return file
  })
  expect(files).toEqual(['snponly.efi', 'snponly.efi', 'ipxe.efi'])
})

test('a loader that took an address was not silent, and keeps its place; silence in the boot after that counts', () => {
  const { paths, boot, pick, pass, now } = bench()
  pick('a')
  paths.fetched('a', 'snponly.efi', now())
  paths.heard('a')
  pass(60_000)
  expect(pick('a')).toEqual({ file: 'snponly.efi', insteadOf: [] })
  expect(boot('a', false)).toBe('snponly.efi')
  expect(boot('a', false)).toBe('ipxe.efi')
})

test('what was given under other firmware does not bind: Secure Boot that became known counts at once', () => {
  const { pick } = bench()
  pick('a')
  const signed = ['bootx64.efi', 'snponly.efi', 'ipxe.efi']
  expect(pick('a', { card: 'x710 signed', files: signed })?.file).toBe('bootx64.efi')
})

test('firmware that tries PXE and HTTP in turn, and refuses what it fetched within seconds, gets the next loader', () => {
  const { paths, pick, pass, now } = bench()
  const files = ['x710 arch 7', 'x710 arch 16', 'x710 arch 7'].map((card) => {
    const file = pick('a', { card })?.file ?? ''
    paths.fetched('a', file, now())
    pass(2_000)
    return file
  })
  expect(files).toEqual(['snponly.efi', 'ipxe.efi', 'bootx64.efi'])
})

test('what worked is known after a restart', () => {
  const { boot, store } = bench()
  boot('a', false)
  boot('a', true)
  expect(bench(store).boot('z', true)).toBe('ipxe.efi')
})

test('a loader that is no longer there is not given', () => {
  const { boot, pick } = bench()
  boot('a', false)
  expect([pick('a', { files: ['snponly.efi'] })?.file, pick('b', { files: [] })]).toEqual(['snponly.efi', undefined])
})

test('whatever happens: a loader of the list is given, records are bounded, and one that works is found', () => {
  const step = fc.record({ mac: fc.nat(5).map(String), works: fc.boolean() })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.constantFrom(...FILES), (steps, good) => {
      const { boot, store } = bench()
      for (const { mac, works } of steps) expect(FILES).toContain(boot(mac, works))
      expect(store.rows.size).toBeLessThanOrEqual(FILES.length)
      // From any state, a server whose card runs one loader alone boots within as many boots as there are loaders, and
      // one more round.
      let found = false
      for (let n = 0; n < 2 * FILES.length && !found; n += 1) found = boot('z', false) === good
      expect(found).toBe(true)
    }),
    { numRuns: 200 },
  )
})

test('records of card models are bounded', () => {
  const { paths, store } = bench()
  for (let n = 0; n < 5_000; n += 1) {
    const nowMs = n * 10
    paths.pick('a', { card: `card ${n}`, files: FILES, asksAnew: true, nowMs })
    paths.fetched('a', 'snponly.efi', nowMs)
    paths.worked('a')
  }
  expect(store.rows.size).toBe(4096)
  expect(store.rows.has('card 4999 snponly.efi')).toBe(true)
})
