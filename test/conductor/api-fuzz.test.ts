/** Hostile input over every route: bodies, paths, queries and headers that nobody foresaw give 4xx with a clear
 *  message, and change nothing. */
import { request } from 'node:http'
import fc from 'fast-check'
import { beforeAll, expect, test } from 'vitest'
import type { Route } from '../../conductor/api/route.ts'
import { base, call, conductor, create } from './api-bench.ts'

let uuid = ''
let routes: readonly Route[] = []
beforeAll(async () => {
  uuid = String((await create({ name: 'target', driver: 'ipmi', driver_info: {} })).uuid)
  routes = conductor.routes
})

const HOSTILE = [
  '',
  ' ',
  '..',
  '%00',
  '%2e%2e%2f',
  '\u0000',
  "' OR 1=1 --",
  '{"$ne":1}',
  '__proto__',
  'constructor',
  '-1',
  '1e309',
  'NaN',
  '🦆',
  'x'.repeat(5000),
  '%',
  'true',
  'null',
]
const word = fc.oneof(fc.constantFrom(...HOSTILE), fc.string({ maxLength: 40 }), fc.integer().map(String), fc.uuid())
const json = fc.oneof(
  fc.jsonValue({ maxDepth: 4 }),
  fc.dictionary(
    fc.oneof(
      word,
      fc.constantFrom(
        'target',
        'driver',
        'name',
        'steps',
        'traits',
        'address',
        'node_uuid',
        'uuid',
        'extra',
        'events',
        'inventory',
      ),
    ),
    fc.jsonValue({ maxDepth: 3 }),
    { maxKeys: 6 },
  ),
  fc.array(
    fc.record({
      op: fc.constantFrom('add', 'replace', 'remove', 'test', 'move'),
      path: word.map((text) => `/${text}`),
      value: fc.jsonValue({ maxDepth: 2 }),
    }),
    { maxLength: 4 },
  ),
)
const query = fc.dictionary(
  fc.oneof(
    fc.constantFrom(
      'limit',
      'marker',
      'sort_key',
      'sort_dir',
      'fields',
      'detail',
      'node',
      'shard',
      'addresses',
      'after',
      'kinds',
      'associated',
      'why',
      '__proto__',
    ),
    word,
  ),
  word,
  { maxKeys: 3 },
)
const headers = fc.record(
  {
    'OpenStack-API-Version': fc.oneof(
      fc.constantFrom(
        'baremetal 1.110',
        'baremetal latest',
        'baremetal 1.50',
        'baremetal 9.9',
        'compute 2.1',
        'baremetal',
      ),
      fc.stringMatching(/^[ -~]{0,30}$/),
    ),
    'X-OpenStack-Ironic-API-Version': fc.stringMatching(/^[ -~]{0,20}$/),
    Authorization: fc.stringMatching(/^[ -~]{0,40}$/),
    'Last-Event-ID': fc.stringMatching(/^[ -~]{0,20}$/),
    'Content-Type': fc.constantFrom(
      'application/json',
      'text/xml',
      'application/x-www-form-urlencoded',
      'application/json; charset=utf-7',
    ),
    Host: fc.constantFrom('x', 'a:b:c', '[::1]:99'),
  },
  { requiredKeys: [] },
)

interface Sent {
  readonly method: string
  readonly path: string
  readonly body: string | undefined
  readonly headers: Record<string, string>
}

function send(sent: Sent): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const payload = sent.body === undefined ? {} : { 'content-length': String(Buffer.byteLength(sent.body)) }
    const ask = request(
      base,
      { method: sent.method, path: sent.path, headers: { ...sent.headers, ...payload } },
      (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }))
        response.on('error', reject)
      },
    )
    ask.on('error', reject)
    ask.end(sent.body)
  })
}

/** Everything that the database says of the node but the events. */
const record = async () => JSON.stringify((await call('GET', `/v1/nodes/${uuid}`)).body)

test(
  'no route answers 5xx, every refusal says why, and a refused request changed nothing',
  { timeout: 120_000 },
  async () => {
    const wellFormed = (text: string) => {
      const body = JSON.parse(text) as { error_message?: string; error?: unknown }
      return (
        body.error !== undefined ||
        (JSON.parse(body.error_message ?? '{}') as { faultstring?: string }).faultstring !== ''
      )
    }
    await fc.assert(
      fc.asyncProperty(
        fc.nat(),
        fc.array(word, { minLength: 2, maxLength: 2 }),
        json,
        fc.record({ query, headers, knows: fc.boolean(), raw: fc.boolean() }),
        async (pick, words, body, more) => {
          const route = routes[pick % routes.length] as Route
          let n = 0
          const path = route.path.replace(/:\w+/g, () =>
            encodeURIComponent(more.knows && n++ === 0 ? uuid : (words[n % 2] ?? '')),
          )
          const search = new URLSearchParams(more.query).toString()
          const method = route.method.toUpperCase()
          const text =
            method === 'GET' || method === 'DELETE' ? undefined : more.raw ? String(words[0]) : JSON.stringify(body)
          // A node that is deleted on purpose is no finding.
          if (method === 'DELETE' && more.knows && /^\/v1\/nodes\/:ident$/.test(route.path)) return
          const before = await record()
          const answer = await send({
            method,
            path: search ? `${path}?${search}` : path,
            body: text,
            headers: more.headers,
          })
          expect([route.path, answer.text.slice(0, 300), answer.status >= 500]).toEqual([
            route.path,
            answer.text.slice(0, 300),
            false,
          ])
          if (answer.status >= 400) {
            expect(wellFormed(answer.text)).toBe(true)
            expect(await record()).toBe(before)
          }
        },
      ),
      { numRuns: 3000 },
    )
  },
)

test('paths that belong to no route are 404, whatever they hold', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(word, { maxLength: 6 }),
      fc.constantFrom('GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'),
      async (words, method) => {
        const { status } = await send({
          method,
          path: `/v1/no-such/${words.map(encodeURIComponent).join('/')}`,
          body: undefined,
          headers: {},
        })
        expect([400, 404]).toContain(status)
      },
    ),
    { numRuns: 200 },
  )
})
