/** Alerts that are posted to hooks: who may, how much, the same twice, and what is resolved undoes only what the hook
 *  did. On a real conductor before a mesh in memory. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Config } from '../../conductor/config.ts'
import { readHooks, type HookConfig } from '../../conductor/hooks/config.ts'
import { HookDoor } from '../../conductor/hooks/door.ts'
import { Limits } from '../../conductor/limits.ts'
import { systemClock, until } from '../../kit/clock.ts'
import { signature } from '../../kit/webhook.ts'
import { HandClock } from '../kit/hand-clock.ts'
import { Bench } from '../masakari/bench.ts'

const SECRET = 'a-secret-of-some-length'
const BEARER = { authorization: `Bearer ${SECRET}` }
let bench: Bench
let dir = ''
let secretFile = ''
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-hooks-'))
  secretFile = join(dir, 'secret')
  await writeFile(secretFile, SECRET, { mode: 0o600 })
  const hooks = [
    { name: 'look', act: 'hint' },
    { name: 'mend', act: 'maintenance', label: 'host', atOnce: 1 },
    { name: 'empty', act: 'drain', only: ['h1', 'h2'] },
    { name: 'alarm', act: 'drain', from: 'aodh' },
    { name: 'signed', act: 'hint', auth: 'hmac' },
    { name: 'guessed', act: 'hint' },
  ]
  const limits = { hooks: { alertsPerPost: 5, postsPerMinute: 200 }, api: { hookBodyBytes: 8_192 } }
  bench = await Bench.start({ hooks: hooks.map((hook) => ({ ...hook, secretFile })), limits })
  for (const name of ['n1', 'n2']) await bench.api('POST', '/v1/nodes', { driver: 'fake-hardware', name })
}, 60_000)
afterAll(async () => {
  await bench?.stop()
  await rm(dir, { recursive: true })
})

type AlertText = [status: 'firing' | 'resolved', instance: string, fingerprint: string]
const post = async (hook: string, alerts: AlertText[], label = 'instance') => {
  const { status, body } = await bench.hook(
    hook,
    {
      version: '4',
      status: 'firing',
      receiver: 'rackward',
      alerts: alerts.map(([state, host, fingerprint]) => ({
        status: state,
        labels: { alertname: 'Hot', [label]: host },
        annotations: { summary: 'x' },
        fingerprint,
      })),
    },
    BEARER,
  )
  expect(status).toBe(200)
  return (body as { alerts: { did: string; why: string | null }[] }).alerts.map(({ did, why }) =>
    why === null ? did : `${did}: ${why}`,
  )
}
const node = async (name: string) => (await bench.api('GET', `/v1/nodes/${name}`)).body
const hold = (host: string) => bench.mesh.core.cluster.holds.get(host)?.value
const seenHold = (host: string, wanted: boolean) =>
  until(() => (hold(host) !== undefined) === wanted, { what: 'the hold', timeoutMs: 20_000, everyMs: 10 })

test('a secret, as bearer token, password or signature; nothing tells an unknown hook from a wrong secret', async () => {
  const body = { alerts: [] }
  const basic = (password: string) => ({ authorization: `Basic ${Buffer.from(`aodh:${password}`).toString('base64')}` })
  expect((await bench.hook('look', body, BEARER)).status).toBe(200)
  expect((await bench.hook('look', body, basic(SECRET))).status).toBe(200)
  const refused = [
    await bench.hook('look', body, {}),
    await bench.hook('look', body, { authorization: 'Bearer wrong' }),
    await bench.hook('look', body, basic(`${SECRET}x`)),
    await bench.hook('no-such', body, BEARER),
    // What a user may do has nothing to do with it.
    await bench.hook('look', body, {
      authorization: `Basic ${Buffer.from('admin:admin-password').toString('base64')}`,
    }),
  ]
  expect(refused.map(({ status }) => status)).toEqual([401, 401, 401, 401, 401])
  expect(new Set(refused.map((one) => JSON.stringify(one.body))).size).toBe(1)

  const text = JSON.stringify(body)
  const sign = (atMs: number, of = text) => ({ 'x-rackward-signature': signature(SECRET, atMs, of) })
  const nowMs = systemClock.now()
  expect((await bench.hook('signed', text, sign(nowMs))).status).toBe(200)
  expect((await bench.hook('signed', text, sign(nowMs))).status).toBe(401)
  expect((await bench.hook('signed', text, sign(nowMs - 3_600_000))).status).toBe(401)
  expect((await bench.hook('signed', text, sign(nowMs - 1_000, 'x'))).status).toBe(401)
  expect((await bench.hook('signed', text, BEARER)).status).toBe(401)
})

test('the body is bounded, and an error names its field', async () => {
  const send = (body: unknown) => bench.hook('look', body, BEARER)
  expect((await send({ alerts: 'x'.repeat(10_000) })).status).toBe(413)
  expect((await send('[[[[['.repeat(50))).status).toBe(400)
  expect((await send('{')).status).toBe(400)
  const flaw = async (body: unknown) => {
    const answer = await send(body)
    return `${answer.status} ${JSON.parse(answer.body.error_message).faultstring}`
  }
  expect(await flaw({ alerts: [{ status: 'burning', labels: {} }] })).toMatch(/^400 alerts\/0\/status: /)
  expect(await flaw({ alerts: [{ status: 'firing', labels: { a: 1 } }] })).toMatch(/^400 alerts\/0\/labels\/a: /)
  const bad = { status: 'firing', labels: {}, fingerprint: '../../x' }
  expect(await flaw({ alerts: [bad] })).toMatch(/^400 alerts\/0\/fingerprint: is no fingerprint/)
  const many = Array.from({ length: 6 }, () => ({ status: 'firing', labels: {} }))
  expect(await flaw({ alerts: many })).toMatch(/^400 alerts: at most 5 \(limits\.hooks\.alertsPerPost\)/)
})

test('maintenance: once for an alert, and what is resolved ends only what the hook began', async () => {
  expect(await post('mend', [['firing', 'n1:9100', 'a']], 'host')).toEqual(['held'])
  expect(await node('n1')).toMatchObject({ maintenance: true, maintenance_reason: 'hook mend' })
  expect(await post('mend', [['firing', 'n1', 'a']], 'host')).toEqual(['known'])
  // A person ends it: the same alert does not begin it again.
  await bench.api('DELETE', '/v1/nodes/n1/maintenance')
  expect(await post('mend', [['firing', 'n1', 'a']], 'host')).toEqual(['known'])
  // And takes it into maintenance for a reason of her own, which stays.
  await bench.api('PUT', '/v1/nodes/n1/maintenance', { reason: 'a fan is exchanged' })
  expect(await post('mend', [['resolved', 'n1', 'a']], 'host')).toEqual([expect.stringMatching(/^left: /)])
  expect(await node('n1')).toMatchObject({ maintenance: true, maintenance_reason: 'a fan is exchanged' })
  expect(await post('mend', [['firing', 'n1', 'b']], 'host')).toEqual([
    'refused: it is in maintenance: a fan is exchanged',
  ])
  await bench.api('DELETE', '/v1/nodes/n1/maintenance')

  expect(
    await post(
      'mend',
      [
        ['firing', 'n1', 'c'],
        ['firing', 'n1', 'd'],
        ['firing', 'n2', 'e'],
      ],
      'host',
    ),
  ).toEqual(['held', 'held', 'refused: the hook holds 1 already (atOnce)'])
  expect(await post('mend', [['resolved', 'n1', 'c']], 'host')).toEqual(['left: another alert holds it'])
  expect((await node('n1')).maintenance).toBe(true)
  expect((await bench.api('GET', '/rackward/v1/hooks')).body.hooks[1]).toMatchObject({
    name: 'mend',
    holds: [{ alert: 'Hot', fingerprint: 'd' }],
  })
  expect(
    await post(
      'mend',
      [
        ['resolved', 'elsewhere', 'd'],
        ['resolved', 'n1', 'd'],
      ],
      'host',
    ),
  ).toEqual(['ended', 'known'])
  expect((await node('n1')).maintenance).toBe(false)
  expect(await post('mend', [['firing', 'n9', 'f']], 'host')).toEqual([
    'refused: there is no host or node of that name',
  ])
  const { events } = (await bench.api('GET', '/rackward/v1/events?kinds=hook&limit=100')).body
  expect(events.map(({ detail }: { detail: { did: string } }) => detail.did)).toContain('ended')
})

test('drain: a hold of the mesh, never in the place of another, and only of hosts that the hook may act on', async () => {
  expect(
    await post('empty', [
      ['firing', 'h1', 'a'],
      ['firing', 'h3', 'b'],
    ]),
  ).toEqual(['held', 'refused: the hook may not act on it'])
  await seenHold('h1', true)
  // It runs nothing: the drain ends in maintenance, which is still the hook's.
  await until(() => hold('h1')?.kind === 'maintenance', { what: 'the drain to end', timeoutMs: 20_000, everyMs: 10 })
  expect(hold('h1')?.why).toBe('drained: hook empty')
  expect(await post('empty', [['resolved', 'h1', 'a']])).toEqual(['ended'])
  await seenHold('h1', false)

  const path = '/rackward/v1/mesh/hosts/h2/hold'
  await bench.api('PUT', path, { kind: 'deploying', reason: 'its image is written' })
  await seenHold('h2', true)
  expect(await post('empty', [['firing', 'h2', 'c']])).toEqual([
    expect.stringMatching(/^refused: it is held by .*\(deploying\)/),
  ])
  // Should it come between the look and the request, the arbiter refuses.
  const drain = { kind: 'drain', reason: 'hook empty', unless_held: true }
  expect((await bench.api('PUT', path, drain)).status).toBe(409)
  expect((await bench.api('DELETE', path, { reason: 'hook empty' })).status).toBe(409)
  expect(hold('h2')?.kind).toBe('deploying')
  expect((await bench.api('DELETE', path)).status).toBe(200)
  await seenHold('h2', false)
})

test('an alarm of aodh has its host in the URL; without data nothing happens', async () => {
  const alarm = (current: string) => ({
    alarm_id: 'alarm-1',
    alarm_name: 'hot',
    previous: 'ok',
    current,
    severity: 'low',
  })
  const send = async (current: string) =>
    (await bench.hook('alarm?host=h1', alarm(current), BEARER)).body.alerts.map(({ did }: { did: string }) => did)
  expect(await send('insufficient data')).toEqual([])
  expect(await send('alarm')).toEqual(['held'])
  await seenHold('h1', true)
  expect(await send('ok')).toEqual(['ended'])
  await seenHold('h1', false)
  expect((await bench.hook('look?host=h1', { alerts: [] }, BEARER)).status).toBe(400)
})

test('who guesses is stopped, and what is posted too often as well', async () => {
  const guess = () => bench.hook('guessed', { alerts: [] }, { authorization: 'Bearer x' })
  const answers: number[] = []
  for (let i = 0; i < 12; i += 1) answers.push((await guess()).status)
  expect(answers).toEqual([...Array.from({ length: 10 }, () => 401), 429, 429])
  // Not even the right one is looked at; other hooks go on.
  expect((await bench.hook('guessed', { alerts: [] }, BEARER)).status).toBe(429)

  const clock = new HandClock(1_000_000)
  const limits = Limits.parse({ hooks: { postsPerMinute: 3 } })
  const hook = {
    name: 'x',
    from: 'alertmanager',
    act: 'hint',
    label: 'l',
    atOnce: 1,
    auth: 'token',
    secret: SECRET,
  } as const
  const refusals: string[] = []
  const door = new HookDoor({ hooks: [hook], clock, limits, onLimit: (limit) => void refusals.push(limit) })
  const request = { headers: BEARER, socket: { remoteAddress: '192.0.2.1' } } as unknown as IncomingMessage
  const knock = (): HookConfig => {
    const found = door.admit('x', request)
    door.checkPost(found, request, Buffer.from('{}'))
    return found
  }
  for (let i = 0; i < 3; i += 1) knock()
  expect(knock).toThrow('limits.hooks.postsPerMinute')
  expect(refusals).toEqual(['hooks.postsPerMinute'])
  clock.pass(60_000)
  expect(knock().name).toBe('x')
})

test('the configuration knows no act that fences, and no hook without a secret or twice', async () => {
  const config = (hooks: unknown[], mesh: object = { mesh: { arbiters: ['http://192.0.2.1:1'] } }) =>
    Config.parse({
      data: dir,
      images: { store: dir },
      api: { listen: [], auth: { strategy: 'noauth' } },
      hooks,
      ...mesh,
    })
  for (const act of ['fence', 'off', 'deploy', 'undeploy'])
    expect(() => config([{ name: 'x', act, secretFile }])).toThrow()
  const one = { name: 'x', act: 'drain', secretFile }
  await expect(readHooks(config([one, one]))).rejects.toThrow('hooks.1.name: another hook is x')
  await expect(readHooks(config([one], {}))).rejects.toThrow('hooks.0.act: drain needs a mesh')
  await expect(readHooks(config([{ ...one, secretFile: '/none' }]))).rejects.toThrow('hooks.0.secretFile')
})
