/** The warm-up of the boot services: it serves made-up clients through a real socket, and leaves nothing behind. */
import { createSocket } from 'node:dgram'
import { expect, test } from 'vitest'
import { warmUp } from '../../conductor/boot/warm-up.ts'
import { systemClock } from '../../kit/clock.ts'
import { bind } from '../../kit/listen.ts'

test('each made-up client gets an address', async () => {
  expect(await warmUp(systemClock, { clients: 100, rounds: 2 })).toBe(200)
})

test('where its port is taken the boot services start without it', async () => {
  const taken = await bind(createSocket('udp4'), { port: 67, address: '127.198.0.2' })
  try {
    expect(await warmUp(systemClock, { clients: 100 })).toBe(0)
  } finally {
    taken.close()
  }
})
