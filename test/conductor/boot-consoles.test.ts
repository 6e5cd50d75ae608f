/** The consoles of servers that boot: what they say becomes signs, and they give way. */
import { PassThrough } from 'node:stream'
import { expect, test } from 'vitest'
import { BootConsoles } from '../../conductor/node/run/boot-consoles.ts'
import { Sightings } from '../../conductor/node/query/sightings.ts'
import { newNode } from '../../conductor/node/record.ts'
import type { Piped } from '../../kit/run.ts'
import { systemClock as clock, until } from '../../kit/clock.ts'

function bench(limit: number) {
  const sightings = new Sightings()
  const lines: (Piped & { readonly stdout: PassThrough; isOver: boolean })[] = []
  const open = () => {
    let over = (): void => undefined
    const done = new Promise<void>((resolve) => (over = resolve))
    const end = () => {
      made.isOver = true
      over()
    }
    const made = { stdin: new PassThrough(), stdout: new PassThrough(), done, end, stop: end, isOver: false }
    lines.push(made)
    return Promise.resolve(made)
  }
  const bmcQueue = {
    run: (_: unknown, __: unknown, work: (bmc: unknown, signal: AbortSignal) => unknown) =>
      work({ console: open }, new AbortController().signal),
  }
  const parts = { bmcs: { target: () => ({}) }, bmcQueue, sightings, clock, limit, longestMs: 60_000 }
  const consoles = new BootConsoles(parts as unknown as ConstructorParameters<typeof BootConsoles>[0])
  const begin = (uuid: string) => {
    sightings.booting(uuid, clock.now())
    consoles.begin(newNode({ uuid, driver: 'ipmi' }, 0))
  }
  return { sightings, lines, consoles, begin }
}
const open = (lines: readonly { isOver: boolean }[]) => lines.filter(({ isOver }) => !isOver).length
const become = (what: string, is: () => boolean) => until(is, { what, timeoutMs: 20_000, everyMs: 20 })

test('what a console says is a sign of this boot, also when it comes in pieces; after the hello it is left', async () => {
  const { sightings, lines, begin } = bench(2)
  begin('a')
  await become('the console', () => lines.length === 1)
  lines[0]?.stdout.write('>>Start PXE over IPv4.\r\n  PXE-E16: No va')
  lines[0]?.stdout.write('lid offer received.\r\n')
  await become('the sign', () => sightings.look('a').signs.has('says-no-offer'))
  expect(sightings.look('a').signs.get('says-no-offer')?.details).toEqual(['PXE-E16: No valid offer received.'])
  sightings.note('a', 'hello', { atMs: clock.now(), detail: '' })
  await become('the end of the session', () => open(lines) === 0)
})

test('no more consoles are read than the limit says, and one gives way to a user', async () => {
  const { lines, begin, consoles } = bench(2)
  for (const uuid of ['a', 'b', 'c']) begin(uuid)
  await become('two consoles', () => lines.length === 2)
  expect(open(lines)).toBe(2)
  consoles.giveWay('a')
  expect(open(lines)).toBe(1)
  begin('c')
  await become('the third', () => lines.length === 3)
  expect(open(lines)).toBe(2)
  consoles.stop()
  expect(open(lines)).toBe(0)
})
