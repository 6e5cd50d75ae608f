/** The lease book under whatever clients do, in any order: what must hold after every step. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { inSubnet, numberToIp, parseSubnet } from '../../pxe/addresses.ts'
import { LeaseBook, type Lease, type Pool, type Wanted } from '../../pxe/dhcp/leases.ts'

const DECLINES = 2
const pool = (net: number, size: number): Pool => ({
  subnet: parseSubnet(`10.0.${net}.0/24`),
  first: `10.0.${net}.10`,
  last: `10.0.${net}.${9 + size}`,
  // The server's address stands inside the pool: a configuration may say so.
  reserved: new Set([`10.0.${net}.0`, `10.0.${net}.11`, `10.0.${net}.255`]),
})
const POOLS = [pool(1, 6), pool(2, 4)]
const MACS = ['a', 'b', 'c', 'd', 'e', 'f', 'g']
const usable = (at: Pool) =>
  Array.from({ length: 256 }, (_, n) => numberToIp(at.subnet.network + n)).filter((ip) => inRange(ip, at))
const inRange = (ip: string, at: Pool) => {
  const last = (text: string) => Number(text.split('.')[3])
  return inSubnet(ip, at.subnet) && last(ip) >= last(at.first) && last(ip) <= last(at.last) && !at.reserved.has(ip)
}

class Store {
  readonly saved = new Map<string, Lease>()
  load = () => [...this.saved.values()]
  save = (lease: Lease) => void this.saved.set(lease.ip, lease)
  remove = (ip: string) => void this.saved.delete(ip)
  commit = () => undefined
  waits = () => false
}

const mac = fc.constantFrom(...MACS)
const net = fc.nat(POOLS.length - 1)
const ip = fc
  .tuple(fc.integer({ min: 1, max: 3 }), fc.constantFrom(0, 5, 10, 11, 12, 13, 14, 15, 255))
  .map(([third, fourth]) => `10.0.${third}.${fourth}`)
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('discover' as const), mac, net, hint: fc.option(ip, { nil: undefined }) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('request' as const), mac, net, hint: fc.option(ip, { nil: undefined }) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('decline' as const), mac, ip: fc.option(ip, { nil: undefined }) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('forget' as const), mac }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('fix' as const), mac, ip: fc.option(ip, { nil: undefined }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('wait' as const), seconds: fc.nat(900) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const) }) },
)

function bench() {
  const store = new Store()
  const state = { book: new LeaseBook(store, { declinesPerMac: DECLINES }), nowMs: 0, fixed: new Map<string, string>() }
  const isFixed = (address: string) => [...state.fixed.values()].includes(address)
  const wanted = (of: string, at: Pool, more: { moving: boolean; hint?: string | undefined }): Wanted => {
    const [fixedIp, { hint, moving }] = [state.fixed.get(of), more]
    return { pool: at, moving, isFixed, nowMs: state.nowMs, ...(fixedIp ? { fixedIp } : {}), ...(hint ? { hint } : {}) }
  }
  return { store, state, isFixed, wanted }
}

test('no address has two clients, none loses its address by what another one does, and only addresses that may be given are', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120, size: 'max' }), (steps) => {
      const { store, state, isFixed, wanted } = bench()
      for (const one of steps) {
        const { book } = state
        const before = new Map(MACS.map((of) => [of, book.leasesOf(of).map((lease) => lease.ip)]))
        switch (one.do) {
          case 'discover': {
            const at = POOLS[one.net] as Pool
            const held = book
              .leasesOf(one.mac)
              .map((lease) => lease.ip)
              .find((address) => inSubnet(address, at.subnet))
            const choice = book.choose(one.mac, wanted(one.mac, at, { moving: true, hint: one.hint }))
            // Room for one more, whatever was declined.
            const free = usable(at).filter((address) => book.macOf(address) === undefined && !isFixed(address))
            if (!state.fixed.has(one.mac)) expect(choice.ip !== undefined || free.length === 0).toBe(true)
            if (held !== undefined && !state.fixed.has(one.mac) && !isFixed(held)) expect(choice).toEqual({ ip: held })
            break
          }
          case 'request': {
            const at = POOLS[one.net] as Pool
            const held = book
              .leasesOf(one.mac)
              .map((lease) => lease.ip)
              .find((address) => inSubnet(address, at.subnet))
            const choice = book.choose(one.mac, wanted(one.mac, at, { moving: false, hint: one.hint }))
            if (held !== undefined && !state.fixed.has(one.mac)) expect(choice).toEqual({ ip: held })
            if (choice.ip !== undefined) {
              book.confirm(one.mac, choice.ip, state.nowMs + 600_000)
              expect(store.saved.get(choice.ip)?.mac).toBe(one.mac)
            }
            break
          }
          case 'decline': {
            const own = book.leasesOf(one.mac)[0]?.ip
            const about = one.ip ?? own ?? '10.0.1.10'
            const outcome = book.decline(one.mac, about, state.nowMs)
            expect(outcome === 'taken back').toBe((before.get(one.mac) ?? []).includes(about) && outcome !== 'too many')
            break
          }
          case 'forget':
            book.forget(one.mac)
            expect(book.leasesOf(one.mac)).toEqual([])
            break
          case 'fix':
            if (one.ip) state.fixed.set(one.mac, one.ip)
            else state.fixed.delete(one.mac)
            break
          case 'wait':
            state.nowMs += one.seconds * 1000
            break
          case 'restart':
            state.book = new LeaseBook(store, { declinesPerMac: DECLINES })
            break
        }
        check(state.book, isFixed)
        // Others are untouched.
        if (one.do !== 'restart')
          for (const of of MACS)
            if (!('mac' in one) || one.mac !== of)
              expect(state.book.leasesOf(of).map((lease) => lease.ip)).toEqual(before.get(of))
      }
    }),
    { numRuns: 60 },
  )
})

function check(book: LeaseBook, isFixed: (address: string) => boolean): void {
  const all = MACS.flatMap((of) => book.leasesOf(of))
  expect(new Set(all.map((lease) => lease.ip)).size).toBe(all.length)
  for (const lease of all) {
    expect(book.macOf(lease.ip)).toBe(lease.mac)
    const at = POOLS.find(({ subnet }) => inSubnet(lease.ip, subnet))
    expect(at?.reserved.has(lease.ip)).toBe(false)
    // Outside the range stands only what is, or was, somebody's fixed address.
    if (at && !inRange(lease.ip, at) && !isFixed(lease.ip)) expect(['5', '15', '14']).toContain(lease.ip.split('.')[3])
  }
  for (const of of MACS)
    for (const { subnet } of POOLS)
      expect(book.leasesOf(of).filter((lease) => inSubnet(lease.ip, subnet)).length).toBeLessThanOrEqual(1)
}

test('however a client declines, it takes no more than its share of a pool in ten minutes', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(60), { minLength: 30, maxLength: 100 }), (gaps) => {
      const { state, wanted } = bench()
      const { book } = state
      const taken: number[] = []
      for (const gap of gaps) {
        state.nowMs += gap * 1000
        const { ip: address = '' } = book.choose('a', wanted('a', POOLS[0] as Pool, { moving: true }))
        if (book.decline('a', address, state.nowMs) === 'taken back') taken.push(state.nowMs)
      }
      for (const atMs of taken)
        expect(taken.filter((other) => other >= atMs && other < atMs + 600_000).length).toBeLessThanOrEqual(DECLINES)
    }),
    { numRuns: 200 },
  )
})
