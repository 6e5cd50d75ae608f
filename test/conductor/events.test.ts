/** The stream of events, webhooks, and the OpenAPI document of /rackward/v1. */
import { createHmac } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, request, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Accounts, Events } from '../../conductor/api/rackward-schemas.ts'
import { startConductor } from '../../conductor/conductor.ts'
import { Config } from '../../conductor/config.ts'
import { until } from '../../kit/clock.ts'
import { silentLog } from '../../kit/log.ts'
import { base, call, create, drive } from './api-bench.ts'

interface Got {
  readonly id: number
  readonly event: string
  readonly data: { seq: number; node_uuid: string; detail: Record<string, unknown> }
}

/** A client of the stream that keeps what it got until it is closed. */
function listen(path: string, headers: Record<string, string> = {}) {
  const got: Got[] = []
  const ask = request(`${base}${path}`, { headers: { accept: 'text/event-stream', ...headers } }, (response) => {
    let rest = ''
    response.setEncoding('utf8')
    response.on('data', (chunk: string) => {
      const blocks = (rest + chunk).split('\n\n')
      rest = blocks.pop() ?? ''
      for (const block of blocks) {
        const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1]
        const id = field('id')
        if (id)
          got.push({
            id: Number(id),
            event: field('event') ?? '',
            data: JSON.parse(field('data') ?? '{}') as Got['data'],
          })
      }
    })
    response.on('error', () => undefined)
  })
  ask.on('error', () => undefined)
  ask.end()
  return { got, close: () => ask.destroy() }
}
const count = (got: readonly unknown[], wanted: number) =>
  until(() => got.length >= wanted, { what: `${wanted} events`, timeoutMs: 20_000, everyMs: 10 })

describe('the stream', () => {
  test('tells everything in order, and goes on where it broke off', async () => {
    const { uuid } = await create()
    const first = listen(`/rackward/v1/events?node=${uuid}&after=0&kinds=state`)
    await drive(uuid, 'manage')
    await count(first.got, 2)
    first.close()
    await drive(uuid, 'inspect')
    const second = listen(`/rackward/v1/events?node=${uuid}&kinds=state`, { 'last-event-id': String(first.got[1]?.id) })
    await count(second.got, 2)
    await drive(uuid, 'provide')
    await count(second.got, 4)
    second.close()
    expect([...first.got, ...second.got].map(({ data }) => data.detail.to)).toEqual([
      'verifying',
      'manageable',
      'inspecting',
      'manageable',
      'cleaning',
      'available',
    ])
    const ids = [...first.got, ...second.got].map(({ id }) => id)
    expect(ids).toEqual([...ids].sort((a, b) => a - b))
  })

  test('as a page, after a sequence number, with what its schema says', async () => {
    const { uuid } = await create()
    await drive(uuid, 'manage')
    const page = (await call('GET', `/rackward/v1/events?node=${uuid}&limit=2`)).body
    expect(Events.parse(page).events.map((event) => event.kind)).toEqual(['node-added', 'act'])
    const next = (await call('GET', `/rackward/v1/events?node=${uuid}&after=${page.last_seq}`)).body
    expect(next.events.map((event: { kind: string }) => event.kind)).toContain('state')
    expect((await call('GET', '/rackward/v1/events?kinds=no-such')).status).toBe(400)
  })

  test('a deleted node’s events are still told', async () => {
    const { uuid } = await create()
    await call('DELETE', `/v1/nodes/${uuid}`)
    const lastly = (await call('GET', '/rackward/v1/events?kinds=node-removed&limit=1000')).body.events
    expect(lastly.map((event: { node_uuid: string }) => event.node_uuid)).toContain(uuid)
  })
})

describe('webhooks', () => {
  let dir = ''
  let receiver: Server
  let url = ''
  let failing = 0
  const bodies: { text: string; signature: string }[] = []
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'rackward-hooks-'))
    await writeFile(join(dir, 'secret'), 'a secret of some length', { mode: 0o600 })
    receiver = createServer((ask, answer) => {
      const chunks: Buffer[] = []
      ask.on('data', (chunk: Buffer) => chunks.push(chunk))
      ask.on('end', () => {
        if (failing > 0) {
          failing -= 1
          return void answer.writeHead(500).end()
        }
        bodies.push({ text: Buffer.concat(chunks).toString(), signature: String(ask.headers['x-rackward-signature']) })
        answer.writeHead(204).end()
      })
    })
    await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve))
    url = `http://127.0.0.1:${(receiver.address() as { port: number }).port}/hook`
  })
  afterAll(async () => {
    receiver.closeAllConnections()
    receiver.close()
    await rm(dir, { recursive: true })
  })
  const start = () =>
    startConductor(
      Config.parse({
        data: join(dir, 'data'),
        images: { store: dir },
        api: { listen: [{ address: '127.0.0.1', port: 0 }], auth: { strategy: 'noauth' } },
        webhooks: [{ name: 'ops', url, kinds: ['node-added'], secretFile: join(dir, 'secret') }],
      }),
      { log: silentLog },
    )
  const names = () =>
    bodies.flatMap(({ text }) =>
      (JSON.parse(text) as { events: { detail: { name: string } }[] }).events.map((event) => event.detail.name),
    )

  test('are signed, tried again until they are taken, and lose nothing over a restart', async () => {
    const one = await start()
    const enroll = (at: string, name: string) =>
      call('POST', '/v1/nodes', { driver: 'fake-hardware', name }, { 'OpenStack-API-Version': 'baremetal latest' }, at)
    failing = 1
    await enroll(one.addresses[0] as string, 'n1')
    await count(bodies, 1)
    failing = 1_000
    await enroll(one.addresses[0] as string, 'n2')
    await until(() => failing < 1_000, { what: 'a try', timeoutMs: 20_000, everyMs: 10 })
    const { webhooks } = (await call('GET', '/rackward/v1/webhooks', undefined, undefined, one.addresses[0])).body
    expect(webhooks[0]).toMatchObject({ name: 'ops', waiting: 1, last_error: 'it answered 500' })
    await one.stop()
    failing = 0
    const two = await start()
    await count(bodies, 2)
    await two.stop()
    expect(names()).toEqual(['n1', 'n2'])
    for (const { text, signature } of bodies) {
      const [, seconds = '', hex = ''] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(signature) ?? []
      expect(createHmac('sha256', 'a secret of some length').update(`${seconds}.${text}`).digest('hex')).toBe(hex)
    }
  })

  test('pass over what they do not want, and do not look at it again', async () => {
    const one = await start()
    const at = one.addresses[0] as string
    const states = async () =>
      (await call('GET', '/rackward/v1/webhooks', undefined, undefined, at)).body.webhooks[0].delivered_seq as number
    const { uuid } = (await call('GET', '/v1/nodes/n1', undefined, undefined, at)).body
    const before = await states()
    await call('PUT', `/v1/nodes/${uuid}/maintenance`, {}, undefined, at)
    await until(async () => (await states()) > before, { what: 'the webhook to go on', timeoutMs: 20_000, everyMs: 10 })
    await one.stop()
  })

  test('a secret that others can read, or none at all, is refused at the start', async () => {
    await writeFile(join(dir, 'open'), 'a secret of some length', { mode: 0o644 })
    const config = (secretFile: string) =>
      Config.parse({
        data: join(dir, 'x'),
        images: { store: dir },
        api: { listen: [], auth: { strategy: 'noauth' } },
        webhooks: [{ name: 'ops', url, secretFile }],
      })
    await expect(startConductor(config(join(dir, 'open')), { log: silentLog })).rejects.toThrow(/can be read by others/)
    await expect(startConductor(config(join(dir, 'none')), { log: silentLog })).rejects.toThrow(/cannot read/)
  })
})

test('the OpenAPI document names every route of /rackward/v1, with the schemas that check them', async () => {
  const document = (await call('GET', '/rackward/v1/openapi.json', undefined, {})).body
  expect(document.openapi).toBe('3.1.0')
  expect(Object.keys(document.paths)).toEqual([
    '/rackward/v1/events',
    '/rackward/v1/nodes/{ident}/explain',
    '/rackward/v1/nodes/{ident}/ports',
    '/rackward/v1/nodes/{ident}/console',
    '/rackward/v1/nodes/{ident}/lock',
    '/rackward/v1/power-sync',
    '/rackward/v1/webhooks',
    '/rackward/v1/nodes/{ident}/steps',
    '/rackward/v1/nodes/{ident}/acts',
    '/rackward/v1/nodes/{ident}/tpm',
    '/rackward/v1/nodes/{ident}/tpm/accept',
    '/rackward/v1/nodes/{ident}/health',
    '/rackward/v1/mesh',
    '/rackward/v1/mesh/leader',
    '/rackward/v1/mesh/pages',
    '/rackward/v1/mesh/hosts/{host}/explain',
    '/rackward/v1/mesh/policy',
    '/rackward/v1/mesh/hosts/{host}/hold',
    '/rackward/v1/mesh/hosts/{host}/fence',
    '/rackward/v1/mesh/hosts/{host}',
    '/rackward/v1/incidents',
    '/rackward/v1/incidents/{id}',
    '/rackward/v1/incidents/{id}/attest',
    '/rackward/v1/incidents/{id}/retry',
    '/rackward/v1/incidents/{id}/close',
    '/rackward/v1/nodes/{ident}/fence',
    '/rackward/v1/session',
    '/rackward/v1/me',
    '/rackward/v1/links',
    '/rackward/v1/links/{id}',
    '/rackward/v1/board',
    '/rackward/v1/nodes/{ident}/phases',
    '/rackward/v1/images',
    '/rackward/v1/images/gc',
    '/rackward/v1/image-series',
    '/rackward/v1/image-series/{name}',
    '/rackward/v1/image-series/{name}/versions',
    '/rackward/v1/image-series/{name}/versions/{version}',
    '/rackward/v1/image-series/{name}/channels/{channel}',
    '/rackward/v1/image-series/{name}/channels/{channel}/rollback',
    '/rackward/v1/image-status',
    '/rackward/v1/nodes/{ident}/image',
    '/rackward/v1/admission',
    '/rackward/v1/rack',
    '/rackward/v1/rack/secrets',
    '/rackward/v1/rollouts',
    '/rackward/v1/rollouts/{id}',
    '/rackward/v1/rooms',
    '/rackward/v1/rooms/{name}',
    '/rackward/v1/rooms/{name}/certificate',
    '/rackward/v1/store/doubt',
    '/rackward/v1/store/doubt/accept',
    '/rackward/v1/hooks',
    '/rackward/v1/hooks/{name}',
  ])
  expect(
    document.paths['/rackward/v1/nodes/{ident}/fence'].post.requestBody.content['application/json'].schema.properties
      .act.enum,
  ).toEqual(['identify', 'off'])
  expect(Object.keys(document.paths['/rackward/v1/nodes/{ident}/console'].get.responses)).toContain('101')
  const { parameters } = document.paths['/rackward/v1/events'].get
  expect(parameters.map((one: { name: string }) => one.name)).toEqual([
    'after',
    'node',
    'kinds',
    'newest',
    'live',
    'limit',
  ])
  expect(parameters[5].schema).toMatchObject({ type: 'integer', minimum: 1, maximum: 1000, default: 100 })
  expect(document.paths['/rackward/v1/nodes/{ident}/lock'].delete.parameters).toMatchObject([
    { name: 'ident', in: 'path', required: true },
    { name: 'reason', in: 'query', required: true },
  ])
  const answer =
    document.paths['/rackward/v1/nodes/{ident}/explain'].get.responses[200].content['application/json'].schema
  expect(Object.keys(answer.properties)).toEqual(Object.keys(Accounts.shape))
})
