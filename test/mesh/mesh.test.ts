/** Seven hosts and three arbiters in namespaces: what the simulation says, with real processes, a real Consul and real
 *  BMCs. `npm test` runs the daily ones,
 *  `npm run test:mesh` all. A watcher reads all the time which processes exist: no instance may ever run twice. */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { until } from '../../kit/clock.ts'
import { watchDoubles, type DoublesWatch } from './doubles.ts'
import { MeshLab } from './lab.ts'
import { SCENARIOS } from './scenarios/index.ts'
import { watched } from './scenarios/shared.ts'

const HOSTS = 7
const all = process.env.RACKWARD_MESH === 'all'
const wanted = SCENARIOS.filter(({ daily, number }) =>
  process.env.RACKWARD_SCENARIOS ? process.env.RACKWARD_SCENARIOS.split(',').includes(String(number)) : all || daily,
)
let lab: MeshLab
let doubles: DoublesWatch | undefined

beforeAll(async () => {
  lab = await MeshLab.up({ hosts: HOSTS, arbiters: 3, racks: 3, watchdogSeconds: 12, storage: true })
  await lab.api('PUT', '/rackward/v1/mesh/policy', {
    armed: true,
    why: 'a test',
    limits: { fenceShare: 1, fenceCap: 1_000, cooldownMs: 3_000, flaps: 1_000, hops: 1_000 },
  })
  await until(
    async () =>
      (await lab.status()).hosts.every(
        (host: { state: string; gate: string }) => host.state === 'healthy' && host.gate === 'open',
      ),
    {
      what: 'all hosts to be well',
      timeoutMs: 60_000,
      everyMs: 500,
    },
  )
  for (const host of lab.hosts) for (const n of [1, 2]) await lab.addInstance(`${host.name}-vm${n}`, host)
  doubles = watchDoubles(lab)
}, 240_000)

afterAll(async () => {
  await doubles?.stop()
  await lab.down()
}, 60_000)

afterEach(async ({ task }) => {
  if (task.result?.state === 'fail') await lab.repair()
}, 60_000)

const mesh = async () =>
  (await lab.status()) as { hosts: { name: string; state: string; message: string }[]; leads: boolean }
const incidents = async () =>
  (await lab.api('GET', '/rackward/v1/incidents')).incidents as {
    id: string
    host: string
    state: string
    time_line: { message: string }[]
  }[]
const offs = async () =>
  (await Promise.all(lab.hosts.map((host) => lab.calls(host)))).flat().filter((line) => line === 'set power 0').length
const logs = () => Promise.all(lab.arbiters.map((node) => lab.log(node)))

test.each(wanted.map((one, i) => [one.number, one.says, one, i] as const))(
  'scenario %i: %s',
  { timeout: 180_000 },
  async (_, says, scenario, i) => {
    const host = lab.hosts[i % HOSTS] as (typeof lab.hosts)[number]
    await until(async () => (await mesh()).leads && (await mesh()).hosts.every(({ state }) => state === 'healthy'), {
      what: `all hosts to be well before: ${says}`,
      timeoutMs: 90_000,
      everyMs: 500,
    })
    // A new leader watches for a while before it acts.
    await until(
      async () =>
        !(await lab.api('GET', `/rackward/v1/mesh/hosts/${host.name}/explain`)).conditions.some(
          (one: { message: string }) => /still watches/.test(one.message),
        ),
      { what: 'the leader to be ready', timeoutMs: 60_000, everyMs: 500 },
    )
    const before = {
      known: new Set((await incidents()).map(({ id }) => id)),
      offs: await offs(),
      truth: await lab.truth(),
      logs: (await logs()).map(({ length }) => length),
    }
    const own = [...before.truth].filter(([, hosts]) => hosts[0] === host.name).map(([id]) => id)
    await scenario.inject(lab, host)
    const news = async () =>
      (await incidents().catch(() => [])).filter(({ id, host: of }) => !before.known.has(id) && of === host.name)
    try {
      if (scenario.wanted === 'nothing') {
        await watched(lab, scenario.watchMs ?? 8_000, async () =>
          expect(await offs(), 'OFF was sent').toBe(before.offs),
        )
        expect(await news()).toEqual([])
      } else if (scenario.wanted === 'emptied') {
        const hosts = async (id: string) => (await lab.truth()).get(id) ?? []
        const isElsewhere = async (id: string) =>
          (await hosts(id)).length === 1 && !(await hosts(id)).includes(host.name)
        await until(async () => (await Promise.all(own.map(isElsewhere))).every(Boolean), {
          what: `${host.name} to be empty`,
          timeoutMs: 120_000,
          everyMs: 500,
        })
        expect([await news(), await offs()]).toEqual([[], before.offs])
      } else {
        await until(
          async () => (await news()).some(({ state }) => ['evacuated', 'returning', 'recovered'].includes(state)),
          {
            what: `the instances of ${host.name} to be moved`,
            timeoutMs: 90_000,
            everyMs: 300,
          },
        ).catch(async (error: Error) => {
          throw new Error(
            `${error.message}: ${JSON.stringify((await mesh()).hosts.find(({ name }) => name === host.name))} ${JSON.stringify(await news())}`,
          )
        })
        const truth = await lab.truth()
        for (const id of own) expect(truth.get(id)?.length, `${id} runs on ${truth.get(id)?.join()}`).toBe(1)
        if (scenario.number !== 52) for (const id of own) expect(truth.get(id)).not.toContain(host.name)
      }
      if (scenario.told)
        expect((await logs()).map((text, at) => text.slice(before.logs[at])).join('\n')).toMatch(scenario.told)
    } finally {
      await scenario.heal?.(lab, host)
    }
    expect(doubles?.twice).toEqual([])
  },
)

test('at the end every instance runs, once', { timeout: 180_000 }, async () => {
  await until(async () => (await mesh()).hosts.every(({ state }) => state === 'healthy'), {
    what: 'all hosts to be well',
    timeoutMs: 90_000,
    everyMs: 500,
  })
  // A host that came back is well before it has started its instances.
  await until(async () => (await lab.truth()).size === HOSTS * 2, {
    what: 'all instances to run',
    timeoutMs: 60_000,
    everyMs: 500,
  })
  const truth = await lab.truth()
  expect([...truth].filter(([, hosts]) => hosts.length !== 1)).toEqual([])
  expect(doubles?.twice).toEqual([])
})
