/** Input of a lessee, or of a stranger, that is small and takes long: it is refused or done at once, and /healthz
 *  answers meanwhile. */
import { once } from 'node:events'
import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { until } from '../../kit/clock.ts'
import { nearest } from '../../kit/text.ts'
import { healthWatch, MAX_SILENCE_MS, Victim } from './victim.ts'

const USERS = { root: { role: 'admin' }, blue: { role: 'operator', project: 'blue' } } as const
const PER_ADDRESS = 20

let victim: Victim
const as = (user: keyof typeof USERS) => (method: string, path: string, body?: unknown) =>
  victim.call(method, path, body, { user })
const [root, blue] = [as('root'), as('blue')]
beforeAll(async () => {
  victim = await Victim.start({
    users: USERS,
    config: { limits: { api: { connectionsPerAddress: PER_ADDRESS } } },
  })
  expect((await root('POST', '/v1/nodes', { driver: 'fake-hardware', name: 'n1', lessee: 'blue' })).status).toBe(201)
  expect((await blue('GET', '/v1/nodes/n1')).status).toBe(200)
}, 60_000)
afterAll(() => victim?.remove())

/** The longest time in which /healthz did not answer while `act` was under way. */
async function silenceMs(act: () => Promise<unknown>): Promise<number> {
  const watch = healthWatch(victim)
  await act()
  return (await watch.stop()).at(-1) as number
}

test('a field with a name of a megabyte is refused at once, with a login and without', async () => {
  const name = 'k'.repeat(1_000_000)
  const statuses: number[] = []
  const silentMs = await silenceMs(async () => {
    statuses.push((await root('POST', '/v1/nodes', { driver: 'fake-hardware', [name]: 1 })).status)
    statuses.push((await victim.call('POST', '/v1/heartbeat/n1', { callback_url: 'http://x', [name]: 1 })).status)
  })
  expect(statuses).toEqual([400, 400])
  expect(silentMs).toBeLessThan(MAX_SILENCE_MS)
})

test('the nearest of some names is found by the beginning of a word, however long it is', () => {
  expect(nearest('ownr', ['name', 'owner'])).toBe('owner')
  expect(nearest(`resource_clas${'s'.repeat(10_000_000)}`, ['name', 'resource_class'])).toBe('resource_class')
})

describe('a patch that moves the items of a long list', () => {
  const path = '/instance_info/list'
  const times = (count: number, operation: object) => Array.from({ length: count }, () => operation)
  const patch = (operations: readonly object[]) => blue('PATCH', '/v1/nodes/n1', operations)
  const listOf = async () => ((await blue('GET', '/v1/nodes/n1')).body.instance_info as { list: number[] }).list

  test('is refused as a whole, and says what to do instead', async () => {
    expect((await patch([{ op: 'add', path, value: Array(400_000).fill(0) }])).status).toBe(200)
    for (const operation of [
      { op: 'add', path: `${path}/0`, value: 1 },
      { op: 'remove', path: `${path}/0` },
    ]) {
      let refused: Awaited<ReturnType<typeof patch>> | undefined
      const silentMs = await silenceMs(async () => (refused = await patch(times(1_000, operation))))
      expect([refused?.status, JSON.stringify(refused?.body)]).toEqual([
        400,
        expect.stringContaining('replace the list as a whole') as string,
      ])
      expect(silentMs).toBeLessThan(MAX_SILENCE_MS)
    }
    expect(await listOf()).toHaveLength(400_000)
    expect((await patch([{ op: 'replace', path, value: [1, 2, 3] }])).status).toBe(200)
  })

  test('is taken where the list is short, and where items are added at its end', async () => {
    expect((await patch(times(1_000, { op: 'add', path: `${path}/0`, value: 0 }))).status).toBe(200)
    expect((await patch(times(1_000, { op: 'add', path: `${path}/-`, value: 9 }))).status).toBe(200)
    const list = await listOf()
    expect([list.length, list[0], list.at(-1)]).toEqual([2_003, 0, 9])
    expect((await patch(times(1_000, { op: 'remove', path: `${path}/0` }))).status).toBe(200)
    expect((await listOf()).slice(0, 3)).toEqual([1, 2, 3])
  })
})

test('upgrades that are refused leave no connection behind, also where the client does not end its side', async () => {
  const { port, hostname } = new URL(victim.base)
  const ask = async () => {
    const socket = connect({ port: Number(port), host: hostname, allowHalfOpen: true }).on('error', () => undefined)
    socket.write(
      'GET /rackward/v1/nodes/n1/console HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
    )
    let answer = ''
    socket.on('data', (chunk: Buffer) => (answer += chunk.toString()))
    await once(socket, 'end')
    expect(answer).toContain('401')
    return socket
  }
  const before = await victim.descriptors()
  const held = await Promise.all(Array.from({ length: PER_ADDRESS / 2 }, ask))
  await until(async () => (await victim.descriptors()) <= before + 1, {
    what: 'the connections to be gone',
    timeoutMs: 10_000,
  })
  for (const socket of held) socket.destroy()
})
