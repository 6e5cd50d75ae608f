/** What a browser can send for a page of another web site: refused on every resource that changes something, whatever
 *  the authentication. */
import { hostname } from 'node:os'
import { describe, expect, test } from 'vitest'
import { call, create, faultOf, base } from './api-bench.ts'

const json = { 'content-type': 'application/json', 'OpenStack-API-Version': 'baremetal latest' }

describe('a request that changes something', () => {
  test.each([
    ['of another origin', { ...json, origin: 'https://evil.example' }],
    ['of another port of this host', { ...json, origin: 'http://127.0.0.1:1' }],
    ['of a page without an origin', { ...json, origin: 'null' }],
    ['of another site', { ...json, 'sec-fetch-site': 'cross-site' }],
    ['of a sibling domain', { ...json, 'sec-fetch-site': 'same-site' }],
  ])('%s is refused, and changes nothing', async (_, headers) => {
    const { uuid } = await create()
    for (const [method, path, body] of [
      ['POST', '/v1/nodes', { driver: 'fake-hardware', name: 'forged' }],
      ['PUT', `/v1/nodes/${uuid}/maintenance`, {}],
      ['DELETE', `/v1/nodes/${uuid}`, undefined],
      ['POST', '/rackward/v1/power-sync', undefined],
      ['POST', `/rackward/v1/nodes/${uuid}/fence`, { act: 'off' }],
      ['POST', `/v1/heartbeat/${uuid}`, { callback_url: 'http://x' }],
    ] as const) {
      const answer = await call(method, path, body, headers)
      expect([path, answer.status]).toEqual([path, 403])
      expect(faultOf(answer).faultstring).toMatch(/page of/)
    }
    expect((await call('GET', '/v1/nodes/forged')).status).toBe(404)
    expect((await call('GET', `/v1/nodes/${uuid}`)).body.maintenance).toBe(false)
  })

  test('of a page of this host, of a link that was typed, and of a program is taken', async () => {
    for (const more of [{ origin: base }, { 'sec-fetch-site': 'same-origin' }, { 'sec-fetch-site': 'none' }, {}])
      expect((await call('POST', '/v1/nodes', { driver: 'fake-hardware' }, { ...json, ...more })).status).toBe(201)
  })

  test.each(['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'text/html'])(
    'with a body of %s, which needs no preflight, is 415',
    async (type) => {
      const answer = await call('POST', '/v1/nodes', '{"driver":"fake-hardware","name":"form"}', {
        'content-type': type,
      })
      expect([answer.status, faultOf(answer).faultstring]).toEqual([
        415,
        expect.stringContaining('Content-Type: application/json'),
      ])
      expect((await call('GET', '/v1/nodes/form')).status).toBe(404)
    },
  )
})

test('reading needs no proof of where it comes from: the browser keeps the answer from the page', async () => {
  expect(
    (await call('GET', '/v1/nodes', undefined, { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' }))
      .status,
  ).toBe(200)
})

describe('without authentication', () => {
  test.each(['evil.example', 'evil.example:6385', '127.0.0.1.evil.example'])(
    'the API does not answer to %s, which may mean our address for a moment',
    async (host) => {
      for (const [method, path, body] of [
        ['GET', '/v1/nodes', undefined],
        ['POST', '/v1/nodes', { driver: 'fake-hardware', name: 'rebound' }],
      ] as const) {
        const answer = await call(method, path, body, {
          ...json,
          host,
          origin: `http://${host}`,
          'sec-fetch-site': 'same-origin',
        })
        expect([answer.status, faultOf(answer).faultstring]).toEqual([403, expect.stringContaining('api.auth.hosts')])
      }
      expect((await call('GET', '/v1/nodes/rebound')).status).toBe(404)
    },
  )

  test.each(['127.0.0.1:6385', '[::1]:6385', 'localhost', 'LOCALHOST:80', hostname()])(
    'it answers to %s',
    async (host) => {
      expect((await call('GET', '/v1/nodes', undefined, { ...json, host })).status).toBe(200)
    },
  )
})
