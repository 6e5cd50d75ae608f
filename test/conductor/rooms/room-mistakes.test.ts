/** Mistakes in segments and in the arguments of a boot room are refused with what to write instead. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { runRoom, type RoomOptions } from '../../../cli/boot-room.ts'
import { parseConfig } from '../../../conductor/config.ts'

const segments =
  (...texts: string[]) =>
  () =>
    parseConfig(
      `
data: /d
images: { store: /i }
api: { listen: [{ address: 127.0.0.1, port: 1 }], auth: { strategy: noauth } }
rooms:
  listen: { address: 127.0.0.1, port: 2 }
  segments: [${texts.map((text) => `{ ${text} }`).join(', ')}]
`,
      'c.yaml',
    ).rooms?.segments.length

test('a range of addresses lies in its subnet, the first one first; names are used once', () => {
  const good = 'name: a, cidr: 10.9.0.0/24, first: 10.9.0.10, last: 10.9.0.10'
  expect(segments(good)()).toBe(1)
  expect(segments(good, good)).toThrow(/rooms\.segments.*two segments have one name/)
  const wrong = (text: string) => expect(segments(`name: a, ${text}`))
  wrong('cidr: 10.9.0.0/24, first: 10.9.0.10, last: 10.9.1.20').toThrow(/rooms\.segments\.0.*10\.9\.1\.20 is not in/)
  wrong('cidr: 10.9.0.0/24, first: 10.9.0.20, last: 10.9.0.10').toThrow(/10\.9\.0\.20 comes after 10\.9\.0\.10/)
  wrong('cidr: 10.9.0.0/99, first: 10.9.0.20, last: 10.9.0.30').toThrow(/10\.9\.0\.0\/99 is not a subnet/)
  wrong('cidr: 999.9.0.0/24, first: 10.9.0.20, last: 10.9.0.30').toThrow(/is not/)
})

test('a room names what is missing or wrong among its arguments', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'rackward-room-mistakes-'))
  onTestFinished(() => rm(dir, { recursive: true }))
  const bundle = join(dir, 'r1.json')
  const text = { room: 'r1', pins: ['0'.repeat(64)], cert: 'c', key: 'k', expiresAt: '2030-01-01T00:00:00.000Z' }
  await writeFile(bundle, JSON.stringify(text), { mode: 0o600 })
  const good = {
    room: 'r1',
    bundle,
    data: join(dir, 'data'),
    interface: ['lo=127.0.9.9'],
    conductor: ['https://127.0.0.1:1'],
    httpPort: '8080',
    loaders: dir,
    cacheGib: '1',
  }
  const said = (more: Partial<RoomOptions>) => runRoom({ ...good, ...more }).catch((error: Error) => error.message)
  expect(await said({ conductor: [] })).toContain('--conductor')
  expect(await said({ conductor: ['http://127.0.0.1:1'] })).toContain('--conductor http://127.0.0.1:1')
  expect(await said({ interface: [] })).toContain('--interface')
  expect(await said({ interface: ['lo'] })).toContain('--interface lo')
  expect(await said({ cacheGib: '0' })).toContain('--cache-gib 0')
  expect(await said({ httpPort: '0' })).toContain('from 1 to 65535')
  expect(await said({ room: 'r2' })).toContain('is the bundle of the boot room r1')
  await writeFile(bundle, '{}')
  expect(await said({})).toContain('is no bundle of a boot room')
  expect(await said({ bundle: join(dir, 'none') })).toContain('none')
})
