/** Events as receivers of others read them, and where their secrets stand. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startConductor } from '../../conductor/conductor.ts'
import { Config } from '../../conductor/config.ts'
import { batchOf, flawOf, FORMATS, postOf, urlOf } from '../../conductor/events/formats.ts'
import type { WebhookState } from '../../conductor/events/webhooks.ts'
import { until } from '../../kit/clock.ts'
import { freePort } from '../kit/free-port.ts'

const SECRET = 'T0000000/B0000000/abcdefghijklmnop'
const hook = (format: (typeof FORMATS)[number], secret = SECRET) => ({ name: 'ops', format, secret })
const event = { seq: 7, atMs: Date.UTC(2026, 0, 1), nodeUuid: 'n1', kind: 'error', detail: { why: 'fan' } }
const post = (format: (typeof FORMATS)[number]) => postOf(hook(format), [event], 0)

test('each format: its body, and its secret where its receiver looks for it', () => {
  expect(JSON.parse(post('alertmanager').body)).toMatchObject([
    {
      labels: { alertname: 'RackwardEvent', kind: 'error', severity: 'error', node: 'n1' },
      startsAt: '2026-01-01T00:00:00+00:00',
    },
  ])
  expect(JSON.parse(post('cloudevents').body)).toMatchObject([
    { specversion: '1.0', id: '7', source: '/rackward/v1/events', type: 'dev.rackward.error', data: { why: 'fan' } },
  ])
  expect(post('cloudevents').headers['content-type']).toBe('application/cloudevents-batch+json')
  expect(JSON.parse(post('slack').body).text).toContain('error (node n1)')
  expect(JSON.parse(post('pagerduty').body)).toMatchObject({
    routing_key: SECRET,
    event_action: 'trigger',
    payload: { severity: 'error', source: 'n1' },
  })
  expect(post('rackward').headers['x-rackward-signature']).toMatch(/^t=0,v1=[0-9a-f]{64}$/)
  expect(batchOf('pagerduty', 100)).toBe(1)
})

test('no secret stands in a body or URL of a format that has another place for it', () => {
  for (const format of FORMATS) {
    expect([format, post(format).body.includes(SECRET)]).toEqual([format, format === 'pagerduty'])
    expect([format, urlOf({ ...hook(format), url: 'http://h/x' }).includes(SECRET)]).toEqual([
      format,
      format === 'slack',
    ])
  }
})

test('a secret that leads out of the URL, or that no header carries, is refused without being shown', () => {
  const url = 'https://hooks.example/services'
  for (const secret of ['../../evil/hook', 'T0/../../evil', '/evil', 'T0/B0?x=1', 'T0/B0#x', '%2e%2e/evil', 'T0//B0']) {
    expect([secret, flawOf({ ...hook('slack', secret), url })]).toEqual([secret, expect.stringContaining('slack')])
    expect(() => urlOf({ ...hook('slack', secret), url })).toThrow('such as T000/B000/secret')
  }
  for (const format of ['alertmanager', 'cloudevents', 'pagerduty'] as const)
    expect(flawOf({ ...hook(format, 'two\r\nlines'), url })).toMatch(/printable ASCII/)
  for (const format of FORMATS) expect(flawOf({ ...hook(format), url })).toBeUndefined()
  expect(urlOf({ ...hook('slack'), url: `${url}/` })).toBe(`${url}/${SECRET}`)
})

test('Slack takes no command from a name that was seen on the wire', () => {
  const bad = { ...event, detail: { name: '<!channel> & <https://evil.example|here>' } }
  const { text } = JSON.parse(postOf(hook('slack'), [bad], 0).body) as { text: string }
  expect(text).not.toMatch(/[<>]/)
  expect(text).toContain('&lt;!channel&gt; &amp; ')
})

describe('posted by a conductor', () => {
  const heard: { url: string; authorization: string | undefined; body: string }[] = []
  const written: string[] = []
  const status = { of: 202 }
  let dir = ''
  let unusedPort = 0
  let receiver: Server
  let conductor: Awaited<ReturnType<typeof startConductor>>
  const log = pino({ level: 'trace' }, { write: (line: string) => void written.push(line) })
  const TOKENS = { alertmanager: 'token-of-alertmanager', cloudevents: 'token-of-cloudevents', slack: SECRET }
  const SECRETS = { ...TOKENS, pagerduty: 'routing-key-of-pagerduty' }

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'rackward-formats-'))
    receiver = createServer((ask, answer) => {
      let body = ''
      ask.on('data', (chunk) => (body += String(chunk)))
      ask.on('end', () => {
        heard.push({ url: String(ask.url), authorization: ask.headers.authorization, body })
        answer.writeHead(status.of, { location: '/elsewhere' }).end()
      })
    })
    await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve))
    const base = `http://127.0.0.1:${(receiver.address() as { port: number }).port}`
    for (const [format, secret] of Object.entries(SECRETS)) await writeFile(join(dir, format), secret, { mode: 0o600 })
    const hooks = Object.keys(SECRETS).map((format) => ({
      name: format,
      format,
      url: `${base}/token-in-the-path/${format}`,
      kinds: ['node-added'],
      secretFile: join(dir, format),
    }))
    // Nothing listens there, whatever the machine runs.
    unusedPort = await freePort()
    const gone = { ...hooks[2], name: 'gone', url: `http://127.0.0.1:${unusedPort}/token-in-the-path` }
    conductor = await startConductor(
      Config.parse({
        data: join(dir, 'data'),
        images: { store: dir },
        api: { listen: [{ address: '127.0.0.1', port: 0 }], auth: { strategy: 'noauth' } },
        webhooks: [...hooks, gone],
      }),
      { log },
    )
  })
  afterAll(async () => {
    await conductor?.stop()
    receiver?.closeAllConnections()
    receiver?.close()
    await rm(dir, { recursive: true })
  })
  const api = (path: string, init?: RequestInit) =>
    fetch(`${conductor.addresses[0]}${path}`, {
      ...init,
      headers: { 'content-type': 'application/json', 'OpenStack-API-Version': 'baremetal latest' },
    })
  const enroll = (name: string) =>
    api('/v1/nodes', { method: 'POST', body: JSON.stringify({ driver: 'fake-hardware', name }) })
  const states = async () =>
    ((await (await api('/rackward/v1/webhooks')).json()) as { webhooks: WebhookState[] }).webhooks

  test('each format reaches its receiver with its secret; a redirect is an error, and not followed', async () => {
    await enroll('one')
    await until(() => heard.length === 4, { what: 'four posts', timeoutMs: 20_000, everyMs: 10 })
    const at = (format: string) => heard.find(({ url }) => url.includes(`/${format}`))
    expect(at('alertmanager')?.authorization).toBe('Bearer token-of-alertmanager')
    expect(at('cloudevents')?.authorization).toBe('Bearer token-of-cloudevents')
    expect(at('slack')?.url).toBe(`/token-in-the-path/slack/${SECRET}`)
    expect(JSON.parse(at('pagerduty')?.body ?? '')).toMatchObject({ routing_key: SECRETS.pagerduty })

    status.of = 307
    await enroll('two')
    await until(() => heard.length >= 8, { what: 'four more', timeoutMs: 20_000, everyMs: 10 })
    await until(async () => (await states()).every(({ failures }) => failures > 0), {
      what: 'every hook to have failed',
      timeoutMs: 30_000,
      everyMs: 20,
    })
    expect(heard.map(({ url }) => url).filter((url) => url.startsWith('/elsewhere'))).toEqual([])
    expect((await states()).map(({ last_error: says }) => says)).toEqual([
      ...Array.from({ length: 4 }, () => 'it answered 307'),
      expect.stringContaining(`POST http://127.0.0.1:${unusedPort}/…: connect ECONNREFUSED`),
    ])
  })

  test('no token stands in the log or in an answer', async () => {
    const seen = [...written, JSON.stringify(await states())].join('\n')
    expect(seen).toContain('a webhook was not delivered')
    for (const secret of [...Object.values(SECRETS), 'token-in-the-path']) expect(seen).not.toContain(secret)
  })
})
