/** Two requests in one TCP segment: both are answered with success, so both have their effect; and of two that exclude
 *  each other, one is refused. */
import { connect } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { until } from '../../kit/clock.ts'
import { Victim } from './victim.ts'

let victim: Victim
beforeAll(async () => {
  victim = await Victim.start()
})
afterAll(() => victim?.remove())

const ROUNDS = 50
const make = async (path: string, body: unknown): Promise<string> => {
  const answer = await victim.call('POST', path, body)
  if (answer.status !== 201) throw new Error(`${path}: ${answer.status} ${JSON.stringify(answer.body)}`)
  return answer.body.uuid as string
}
const node = () => make('/v1/nodes', { driver: 'fake-hardware' })
const reached = (uuid: string, state: string) =>
  until(
    async () => ((now) => now.provision_state === state && now.reservation === null)(await get(`/v1/nodes/${uuid}`)),
    {
      what: state,
      timeoutMs: 20_000,
      everyMs: 10,
    },
  )
const get = async (path: string) => (await victim.call('GET', path)).body

/** Sends all in one write, on one connection; answers their statuses. */
function together(
  ...requests: readonly (readonly [method: string, path: string, body?: unknown])[]
): Promise<number[]> {
  const { port, hostname } = new URL(victim.base)
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname)
    let text = ''
    socket.on('error', reject)
    socket.on('data', (chunk) => {
      text += chunk.toString()
      const statuses = [...text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => Number(status))
      if (statuses.length < requests.length) return
      socket.destroy()
      resolve(statuses)
    })
    const one = ([method, path, body]: (typeof requests)[number]) => {
      const json = body === undefined ? '' : JSON.stringify(body)
      const head = `${method} ${path} HTTP/1.1\r\nHost: ${hostname}:${port}\r\nOpenStack-API-Version: baremetal latest\r\nContent-Type: application/json\r\n`
      return `${head}Content-Length: ${Buffer.byteLength(json)}\r\n\r\n${json}`
    }
    socket.write(requests.map(one).join(''))
  })
}

test('two traits', async () => {
  const uuid = await node()
  for (let round = 0; round < ROUNDS; round += 1) {
    const [a, b] = [`CUSTOM_A${round % 20}`, `CUSTOM_B${round % 20}`]
    await victim.call('DELETE', `/v1/nodes/${uuid}/traits`)
    expect(await together(['PUT', `/v1/nodes/${uuid}/traits/${a}`], ['PUT', `/v1/nodes/${uuid}/traits/${b}`])).toEqual([
      204, 204,
    ])
    expect([round, (await get(`/v1/nodes/${uuid}/traits`)).traits]).toEqual([round, [a, b]])
    expect(
      await together(['DELETE', `/v1/nodes/${uuid}/traits/${a}`], ['DELETE', `/v1/nodes/${uuid}/traits/${b}`]),
    ).toEqual([204, 204])
    expect([round, (await get(`/v1/nodes/${uuid}/traits`)).traits]).toEqual([round, []])
  }
})

test('the fiftieth trait is taken once', async () => {
  const uuid = await node()
  await victim.call('PUT', `/v1/nodes/${uuid}/traits`, { traits: Array.from({ length: 49 }, (_, i) => `CUSTOM_${i}`) })
  const statuses = await together(
    ['PUT', `/v1/nodes/${uuid}/traits/CUSTOM_A`],
    ['PUT', `/v1/nodes/${uuid}/traits/CUSTOM_B`],
  )
  expect([statuses.toSorted((a, b) => a - b), (await get(`/v1/nodes/${uuid}/traits`)).traits.length]).toEqual([
    [204, 400],
    50,
  ])
})

test('two changes of one port, of one portgroup, of one runbook, of one node', async () => {
  const uuid = await node()
  const paths = [
    `/v1/nodes/${uuid}`,
    `/v1/ports/${await make('/v1/ports', { node_uuid: uuid, address: '52:54:00:00:00:01' })}`,
    `/v1/portgroups/${await make('/v1/portgroups', { node_uuid: uuid })}`,
    `/v1/runbooks/${await make('/v1/runbooks', { name: 'CUSTOM_X', steps: [{ interface: 'deploy', step: 'hold', args: {}, order: 1 }] })}`,
  ]
  for (let round = 0; round < 5; round += 1)
    for (const path of paths) {
      const set = (key: string) => ['PATCH', path, [{ op: 'add', path: `/extra/${key}`, value: round }]] as const
      expect(await together(set('a'), set('b'))).toEqual([200, 200])
      expect([path, (await get(path)).extra]).toEqual([path, { a: round, b: round }])
    }
})

test('one VIF for two nodes, and one fixed address for two ports', async () => {
  const [one, two] = [await node(), await node()]
  const ports = [
    await make('/v1/ports', { node_uuid: one, address: '52:54:00:00:00:11' }),
    await make('/v1/ports', { node_uuid: two, address: '52:54:00:00:00:12' }),
  ]
  const sorted = (statuses: readonly number[]) => statuses.toSorted((a, b) => a - b)
  for (let round = 0; round < ROUNDS; round += 1) {
    const attach = (uuid: string) => ['POST', `/v1/nodes/${uuid}/vifs`, { id: `vif-${round}` }] as const
    expect([round, sorted(await together(attach(one), attach(two)))]).toEqual([round, [204, 409]])
    const fix = (uuid = '') =>
      [
        'PATCH',
        `/v1/ports/${uuid}`,
        [{ op: 'add', path: '/extra/ipv4_address', value: `10.0.0.${round + 1}` }],
      ] as const
    expect([round, sorted(await together(fix(ports[0]), fix(ports[1])))]).toEqual([round, [200, 409]])
  }
})

test('a deploy and a change of instance_info', async () => {
  for (let round = 0; round < 5; round += 1) {
    const uuid = await node()
    for (const [target, state] of [
      ['manage', 'manageable'],
      ['provide', 'available'],
    ]) {
      await victim.call('PUT', `/v1/nodes/${uuid}/states/provision`, { target })
      await reached(uuid, state as string)
    }
    const statuses = await together(
      ['PATCH', `/v1/nodes/${uuid}`, [{ op: 'add', path: '/instance_info/kept', value: 'yes' }]],
      ['PUT', `/v1/nodes/${uuid}/states/provision`, { target: 'active', configdrive: { meta_data: { a: 1 } } }],
    )
    expect(statuses).toEqual([200, 202])
    expect((await get(`/v1/nodes/${uuid}`)).instance_info).toMatchObject({ kept: 'yes' })
  }
})
