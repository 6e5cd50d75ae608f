/** What hostile or careless clients send, and who may send anything at all. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import bcrypt from 'bcryptjs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { startConductor } from '../../conductor/conductor.ts'
import { Config } from '../../conductor/config.ts'
import { silentLog } from '../../kit/log.ts'
import { call, create, faultOf } from './api-bench.ts'

describe('hostile input is 4xx with a clear message, never 5xx, and changes nothing', () => {
  test.each([
    ['no JSON', '{"driver": ', 400, 'not JSON'],
    ['no object', '[1]', 400, 'not a JSON object'],
    ['a number', '7', 400, 'not a JSON object'],
    ['too large', JSON.stringify({ driver: 'fake-hardware', extra: { x: 'x'.repeat(1_100_000) } }), 413, 'too large'],
    ['too deep', `{"driver":"fake-hardware","extra":${'{"a":'.repeat(400)}1${'}'.repeat(400)}}`, 400, 'nested deeper'],
    ['an unknown field', { driver: 'fake-hardware', proprties: {} }, 400, 'did you mean properties?'],
    ['no driver', {}, 400, 'driver is missing'],
    ['an unknown driver', { driver: 'ilo' }, 400, 'fake-hardware'],
    ['a name like a UUID', { driver: 'ipmi', name: '00000000-0000-4000-8000-000000000000' }, 400, 'name'],
    ['a reserved name', { driver: 'ipmi', name: 'detail' }, 400, 'name'],
  ])('%s', async (_, body, status, says) => {
    const before = (await call('GET', '/v1/nodes')).body.nodes.length
    const answer = await call('POST', '/v1/nodes', body)
    expect([answer.status, faultOf(answer).faultstring]).toEqual([status, expect.stringContaining(says)])
    expect((await call('GET', '/v1/nodes')).body.nodes).toHaveLength(before)
  })
  test.each([
    ['a patch that is no list', { op: 'add' }],
    ['an unknown operation', [{ op: 'move', path: '/extra', from: '/name' }]],
    ['a root that may not be changed', [{ op: 'replace', path: '/uuid', value: 'x' }]],
    ['provision_state', [{ op: 'replace', path: '/provision_state', value: 'active' }]],
    ['a prototype', [{ op: 'add', path: '/extra/__proto__/x', value: 1 }]],
    ['a missing target', [{ op: 'remove', path: '/extra/nothing' }]],
    [
      'one good and one bad operation',
      [
        { op: 'replace', path: '/description', value: 'changed' },
        { op: 'replace', path: '/name', value: 'a b' },
      ],
    ],
  ])('patch: %s', async (_, patch) => {
    const { uuid } = await create()
    const before = (await call('GET', `/v1/nodes/${uuid}`)).body
    expect((await call('PATCH', `/v1/nodes/${uuid}`, patch)).status).toBe(400)
    expect((await call('GET', `/v1/nodes/${uuid}`)).body).toEqual(before)
  })
  test('any path, query and body', async () => {
    const { uuid } = await create({ name: 'fuzz' })
    const before = (await call('GET', '/v1/nodes/fuzz')).body
    const paths = fc.constantFrom(
      '/v1/nodes',
      `/v1/nodes/${uuid}`,
      '/v1/nodes/fuzz/states/power',
      '/v1/nodes/fuzz/states/provision',
      '/v1/nodes/fuzz/management/boot_device',
      '/v1/ports',
      '/v1/nodes/%ff',
      '/v1/nodes/%2e%2e%2f',
      '/v1/x',
      '/v1/nodes/fuzz/validate',
      '/v1/drivers/x',
    )
    const query = fc.dictionary(
      fc.constantFrom('limit', 'marker', 'sort_key', 'sort_dir', 'fields', 'detail', 'associated', 'x'),
      fc.string({ maxLength: 20 }),
      { maxKeys: 3 },
    )
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('GET', 'PUT', 'POST', 'PATCH'),
        paths,
        query,
        fc.jsonValue({ maxDepth: 4 }),
        async (method, path, asked, body) => {
          const answer = await call(
            method,
            `${path}?${new URLSearchParams(asked).toString()}`,
            method === 'GET' ? undefined : body,
          )
          expect(answer.status).toBeLessThan(500)
        },
      ),
      { numRuns: 300 },
    )
    expect((await call('GET', '/v1/nodes/fuzz')).body).toEqual(before)
  })
})

describe('authentication', () => {
  test('is on unless it is switched off by name; a good password is verified once', async () => {
    const own = await mkdtemp(join(tmpdir(), 'rackward-auth-'))
    await writeFile(join(own, 'htpasswd'), `admin:${await bcrypt.hash('pa:ss', 4)}\n`)
    expect(() => Config.parse({ data: own, images: { store: own }, api: {} })).toThrow(/auth/)
    const locked = await startConductor(
      Config.parse({
        data: join(own, 'data'),
        images: { store: own },
        api: {
          listen: [{ address: '127.0.0.1', port: 0 }],
          auth: { strategy: 'http_basic', file: join(own, 'htpasswd') },
        },
      }),
      { log: silentLog },
    )
    const ask = (authorization?: string) =>
      call('GET', '/v1/nodes', undefined, authorization ? { authorization } : {}, locked.addresses[0])
    const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`
    try {
      const refused = await ask()
      expect([refused.status, refused.headers['www-authenticate'], refused.body.error.code]).toEqual([
        401,
        'Basic realm="Baremetal API"',
        401,
      ])
      expect((await ask(basic('admin:wrong'))).status).toBe(401)
      expect((await ask(basic('root:pa:ss'))).status).toBe(401)
      expect((await ask('Bearer x')).status).toBe(400)
      expect([(await ask(basic('admin:pa:ss'))).status, (await ask(basic('admin:pa:ss'))).status]).toEqual([200, 200])
      expect((await call('GET', '/', undefined, {}, locked.addresses[0])).status).toBe(200)
    } finally {
      await locked.stop()
      await rm(own, { recursive: true })
    }
  })
})
