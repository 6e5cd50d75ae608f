/** /metrics, /healthz and /readyz of a real conductor with fake hardware; and the dashboard asks, in good PromQL, for
 *  nothing that is not there. */
import { readFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { parser } from '@prometheus-io/lezer-promql'
import { expect, test } from 'vitest'
import { conductorMetrics } from '../../conductor/metrics.ts'
import type { EventRecord, Store } from '../../conductor/store/port.ts'
import { meshMetrics } from '../../host-agent/api/metrics.ts'
import { Arbiter } from '../../host-agent/arbiter/loop.ts'
import { systemClock, until } from '../../kit/clock.ts'
import { ROOT } from '../lab/root.ts'
import { base, call } from './api-bench.ts'

const get = (path: string): Promise<{ status: number; text: string }> =>
  new Promise((resolve, reject) => {
    const ask = request(`${base}${path}`, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }))
    })
    ask.on('error', reject)
    ask.end()
  })
const value = (text: string, series: RegExp) =>
  Number(
    text
      .split('\n')
      .find((line) => series.test(line))
      ?.split(' ')
      .at(-1) ?? Number.NaN,
  )

test('states, durations by model, BMC acts and requests are counted', async () => {
  await call('POST', '/v1/nodes', { name: 'm1', driver: 'fake-hardware', properties: { vendor: 'Acme', model: 'One' } })
  await call('PUT', '/v1/nodes/m1/states/power', { target: 'power off' })
  await until(
    async () =>
      ((await call('GET', '/v1/nodes/m1/states')).body as { power_state: unknown }).power_state === 'power off',
    {
      what: 'power off',
      timeoutMs: 30_000,
    },
  )
  await call('PUT', '/v1/nodes/m1/states/provision', { target: 'manage' })
  const text = await until(
    async () => {
      const now = (await get('/metrics')).text
      return value(now, /^rackward_node_state_seconds_count\{.*state="verifying"/) === 1 && now
    },
    { what: 'the arrow to be counted', timeoutMs: 20_000 },
  )
  expect(text).toMatch(/rackward_node_state_seconds_count\{model="fake-hardware \/ Acme \/ One",state="verifying"\} 1/)
  expect(text).toMatch(/rackward_node_transitions_total\{from="verifying",to="manageable"\} 1/)
  expect(text).toMatch(/rackward_nodes\{provision_state="manageable",power_state="power off",maintenance="false"\} 1/)
  expect(text).toMatch(/rackward_nodes\{provision_state="deploy failed",.*\} 0/)
  expect(value(text, /^rackward_bmc_act_seconds_count\{.*end="ok"/)).toBeGreaterThan(0)
  expect(value(text, /^rackward_api_request_seconds_count\{method="POST",status="201"\}/)).toBe(1)
  expect(text).toMatch(/rackward_nodejs_eventloop_lag_seconds/)
})

test('states that are unusually long are counted', async () => {
  let tell: (batch: { events: EventRecord[] }) => void = () => undefined
  const hub = { follow: (listener: typeof tell) => ((tell = listener), () => undefined) }
  const events = { hub, queue: { dropped: 0 } } as unknown as Parameters<typeof conductorMetrics>[1]['events']
  const store = { nodeCounts: async () => [] } as unknown as Store
  const metrics = await conductorMetrics(store, { events, bootDown: () => undefined, agents: () => 0 })
  const detail = { model: 'Acme One', state: 'wait call-back' }
  tell({ events: [{ seq: 1, atMs: 1, nodeUuid: null, kind: 'slow', detail }] })
  const text = await metrics.registry.metrics()
  metrics.stop()
  expect(value(text, /^rackward_node_slow_total\{model="Acme One",state="wait call-back"\}/)).toBe(1)
})

test.each(['/healthz', '/readyz'])('%s answers without a login', async (path) => {
  const { status, text } = await get(path)
  expect(status).toBe(200)
  expect(JSON.parse(text)).toMatchObject({ status: 'ok' })
})

test('every query of the dashboard is good PromQL and names metrics that are exported', async () => {
  const dashboard = JSON.parse(readFileSync(join(ROOT, 'docs/grafana/rackward.json'), 'utf8')) as {
    panels: { title: string; targets: { expr: string }[] }[]
  }
  const core = new Arbiter({ name: 'a1', environment: {} as never, nowMs: 0 })
  const exported = `${(await get('/metrics')).text}\n${await meshMetrics(core, systemClock).metrics()}`
  const known = new Set(
    [...exported.matchAll(/^# TYPE (\S+) (\S+)/gm)].flatMap(([, name, type]) =>
      type === 'histogram' ? ['_bucket', '_count', '_sum'].map((end) => name + end) : [name],
    ),
  )
  expect(dashboard.panels.length).toBeGreaterThan(10)
  for (const { title, targets } of dashboard.panels)
    for (const { expr } of targets) {
      const names: string[] = []
      parser.parse(expr).iterate({
        enter(node) {
          expect([title, expr, node.type.isError]).toEqual([title, expr, false])
          if (node.name === 'Identifier' && node.node.parent?.name === 'VectorSelector')
            names.push(expr.slice(node.from, node.to))
        },
      })
      expect(names.length, `${title}: ${expr}`).toBeGreaterThan(0)
      for (const name of names) expect(known, `${title}: ${expr}`).toContain(name)
    }
})

test('the check of the dashboard can fail', () => {
  let errors = 0
  parser
    .parse('sum by (x) (rackward_nodes{a=})')
    .iterate({ enter: (node) => void (errors += node.type.isError ? 1 : 0) })
  expect(errors).toBeGreaterThan(0)
})
