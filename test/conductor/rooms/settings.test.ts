/** When a boot room begins its boot services anew: what it is told is compared by what its sockets need. */
import { describe, expect, it } from 'vitest'
import { needsSameSockets } from '../../../conductor/boot/rooms/service-config.ts'
import type { RoomSettings } from '../../../conductor/boot/rooms/wire.ts'

const SETTINGS = {
  agent: { address: '192.0.2.1', port: 6386 },
  pin: 'a'.repeat(64),
  tokenKey: 'AAAA',
  boot: { kernel: '/k', initrd: '/i', kernelArgs: [], architecture: 'x86_64' },
  segments: [{ name: 'rack17', cidr: '10.17.0.0/24', first: '10.17.0.100', last: '10.17.0.199' }],
} as unknown as RoomSettings

describe('the settings of a boot room', () => {
  it('where agents call, and what this version does not know, need no other sockets', () => {
    const moved = { ...SETTINGS, agent: { ...SETTINGS.agent, port: 7000 } } as RoomSettings
    expect(needsSameSockets(SETTINGS, moved)).toBe(true)
    expect(needsSameSockets(SETTINGS, { ...SETTINGS, peers: ['10.17.0.3'] } as RoomSettings)).toBe(true)
    expect(needsSameSockets({ ...SETTINGS, peers: [] } as RoomSettings, SETTINGS)).toBe(true)
  })

  it.each([
    ['pin', { pin: 'b'.repeat(64) }],
    ['tokenKey', { tokenKey: 'BBBB' }],
    ['boot', { boot: { ...SETTINGS.boot, kernel: '/other' } }],
    ['segments', { segments: [] }],
  ])('another %s needs them', (_, change) => {
    expect(needsSameSockets(SETTINGS, { ...SETTINGS, ...change })).toBe(false)
  })
})
