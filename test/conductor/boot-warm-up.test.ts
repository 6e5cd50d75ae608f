/** The warm-up of the boot services: it serves made-up clients through a real socket, and leaves nothing behind. */
import { createSocket } from 'node:dgram'
import { expect, test } from 'vitest'
import { warmUp } from '../../conductor/boot/warm-up.ts'
import { systemClock } from '../../kit/clock.ts'
import { bind } from '../../kit/listen.ts'

test('each made-up client gets an address', async () => {
  expect(await warmUp(systemClock, { clients: 100, rounds: 2 })).toBe(200)
})

test('what other programs of the machine send to its port harms nothing', async () => {
  const other = await bind(createSocket('udp4'), { port: 0, address: '127.0.0.1' })
  const send = () => other.send(Buffer.from('no packet'), 67, '127.198.0.2')
  const clock = { ...systemClock, after: (ms: number, then: () => void) => (send(), systemClock.after(ms, then)) }
  try {
    expect(await warmUp(clock, { clients: 100, rounds: 2 })).toBe(200)
  } finally {
    other.close()
  }
})

test('it ends with its time, however many clients are left', async () => {
  const clock = {
    ...systemClock,
    after: (ms: number, then: () => void) => systemClock.after(ms > 1_000 ? 0 : ms, then),
  }
  expect(await warmUp(clock, { clients: 2_000, rounds: 3 })).toBeLessThan(6_000)
})

test('where its port is taken the boot services start without it', async ({ skip }) => {
  const taken = await bind(createSocket('udp4'), { port: 67, address: '127.198.0.2' }).catch(() => undefined)
  if (!taken) return skip('a DHCP server of this machine has the port of every address, in a way that leaves it free')
  try {
    expect(await warmUp(systemClock, { clients: 100 })).toBe(0)
  } finally {
    taken.close()
  }
})
