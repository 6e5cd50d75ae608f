/** Allocations on a live conductor: a node is found by what it must be, held, and let go. */
import { describe, expect, test } from 'vitest'
import { until } from '../../kit/clock.ts'
import { base, call, create, drive, power } from './api-bench.ts'

const uuidOf = async (path: string, body: unknown): Promise<string> => {
  const made = await call('POST', path, body)
  if (made.status !== 201) throw new Error(JSON.stringify(made.body))
  expect(made.headers.location).toBe(`${base}${path}/${made.body.uuid}`)
  return String(made.body.uuid)
}
describe('allocations', () => {
  const ready = async (resource_class: string, traits: string[] = [], more: Record<string, unknown> = {}) => {
    const { uuid } = await create({ resource_class, ...more })
    if (traits.length > 0) expect((await call('PUT', `/v1/nodes/${uuid}/traits`, { traits })).status).toBe(204)
    await drive(uuid, 'manage', 'provide')
    await power(uuid, 'off')
    return String(uuid)
  }
  const ended = (uuid: string) =>
    until(
      async () => {
        const { body } = await call('GET', `/v1/allocations/${uuid}`)
        return body.state === 'allocating' ? undefined : body
      },
      { what: 'the allocation to end', timeoutMs: 20_000, everyMs: 10 },
    )

  test('what a client was not given and sends as null is as if it were absent', async () => {
    const nothing = {
      uuid: null,
      name: null,
      traits: null,
      candidate_nodes: null,
      node: null,
      owner: null,
      extra: null,
    }
    const made = await call('POST', '/v1/allocations', { resource_class: 'nowhere', ...nothing })
    expect([made.status, made.body.traits, made.body.extra]).toEqual([201, [], {}])
    await ended(made.body.uuid as string)
    expect((await call('DELETE', `/v1/allocations/${made.body.uuid}`)).status).toBe(204)
    expect((await call('POST', '/v1/chassis', { uuid: null, extra: null })).body.extra).toEqual({})
  })

  test('find a node by class, traits and candidates, hold it, and let it go', async () => {
    const plain = await ready('gpu')
    const fast = await ready('gpu', ['CUSTOM_FAST', 'HW_CPU_X86_VMX'])
    const one = await ended(
      await uuidOf('/v1/allocations', { resource_class: 'gpu', traits: ['CUSTOM_FAST'], name: 'mine' }),
    )
    expect(one).toMatchObject({ state: 'active', node_uuid: fast, last_error: null })
    expect((await call('GET', `/v1/nodes/${fast}`)).body).toMatchObject({
      instance_uuid: one.uuid,
      allocation_uuid: one.uuid,
      instance_info: { traits: ['CUSTOM_FAST'] },
    })
    expect((await call('GET', `/v1/nodes/${fast}/allocation`)).body.uuid).toBe(one.uuid)
    const second = await ended(await uuidOf('/v1/allocations', { resource_class: 'gpu', traits: ['CUSTOM_FAST'] }))
    expect(second).toMatchObject({
      state: 'error',
      node_uuid: null,
      last_error: expect.stringContaining('CUSTOM_FAST') as string,
    })
    const third = await ended(await uuidOf('/v1/allocations', { resource_class: 'gpu', candidate_nodes: [plain] }))
    expect(third).toMatchObject({ state: 'active', node_uuid: plain })
    expect((await call('DELETE', '/v1/allocations/mine')).status).toBe(204)
    expect((await call('GET', `/v1/nodes/${fast}`)).body).toMatchObject({ instance_uuid: null, allocation_uuid: null })
    expect(
      (await call('GET', '/v1/allocations?state=error')).body.allocations.map((each: { uuid: string }) => each.uuid),
    ).toEqual([second.uuid])
  })

  test('ten that ask at once for four nodes get four different ones, and six are told why not', async () => {
    const nodes = await Promise.all(Array.from({ length: 4 }, () => ready('crowd')))
    const asked = await Promise.all(
      Array.from({ length: 10 }, () => uuidOf('/v1/allocations', { resource_class: 'crowd' })),
    )
    const all = await Promise.all(asked.map(ended))
    expect(all.flatMap((one) => (one.state === 'active' ? [one.node_uuid as string] : [])).sort()).toEqual(
      [...nodes].sort(),
    )
    expect(all.filter((one) => one.state === 'error')).toHaveLength(6)
  })

  test('an allocated node is deployed and undeployed; undeploying ends the allocation; in use it is not let go', async () => {
    const node = await ready('used')
    const one = await ended(await uuidOf('/v1/allocations', { resource_class: 'used' }))
    await drive(node, 'active')
    expect((await call('DELETE', `/v1/allocations/${one.uuid}`)).status).toBe(409)
    await drive(node, 'deleted')
    expect((await call('GET', `/v1/allocations/${one.uuid}`)).status).toBe(404)
  })

  test('a node in use gets an allocation afterwards', async () => {
    const { uuid } = await create({ resource_class: 'late' })
    await drive(uuid, 'manage', ['adopt', 'active'])
    const made = await call('POST', '/v1/allocations', { node: uuid })
    expect(made).toMatchObject({ status: 201, body: { state: 'active', node_uuid: uuid, resource_class: 'late' } })
    expect((await call('POST', '/v1/allocations', { node: uuid })).status).toBe(409)
    expect(
      (await call('GET', '/v1/allocations')).body.allocations.filter(
        (one: { node_uuid: string }) => one.node_uuid === uuid,
      ),
    ).toHaveLength(1)
  })
})
