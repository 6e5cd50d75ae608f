/** A BMC that answers with control characters, terminal escapes and without an end: last_error, history, events and log
 *  hold one clean line each. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { until } from '../../kit/clock.ts'
import { Victim } from './victim.ts'

/** Title, clear screen, clipboard, C1 colour, right-to-left override, line separator; then more text than anybody
 *  wants. */
const HOSTILE = [
  String.raw`\033]0;owned\007\033[2J\033]52;c;aGk=\007\302\233[31m\342\200\256\342\200\250\r\177`,
  'marker'.repeat(20_000),
]
const CONTROL = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u
const MAX_LENGTH = 1_000

let victim: Victim
let dir = ''
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-bmc-words-'))
  const script = `#!/bin/sh\nprintf 'Error: ${HOSTILE[0]}' >&2\nprintf '${HOSTILE[1]}' >&2\nexit 1\n`
  await writeFile(join(dir, 'ipmitool'), script, { mode: 0o755 })
  victim = await Victim.start({
    env: { PATH: `${dir}:${process.env.PATH}` },
    config: {
      bmc: { ipmiClient: 'ipmitool' },
      powerSync: { everySeconds: 0 },
      provision: { effectTries: 1, powerTimeoutSeconds: 20 },
    },
  })
  const driver_info = { ipmi_address: '127.99.98.95', ipmi_username: 'u', ipmi_password: 'p' }
  await victim.call('POST', '/v1/nodes', { driver: 'ipmi', name: 'n1', driver_info })
}, 60_000)
afterAll(async () => {
  await victim?.remove()
  await rm(dir, { recursive: true })
})

/** Every text of a value, at any depth. */
const textsOf = (value: unknown): string[] =>
  typeof value === 'string'
    ? [value]
    : value !== null && typeof value === 'object'
      ? Object.values(value).flatMap(textsOf)
      : []

test('nothing that is kept, shown or logged has a control character of a BMC, or more than a line of its text', async () => {
  expect((await victim.call('PUT', '/v1/nodes/n1/states/power', { target: 'power on' })).status).toBe(202)
  await until(async () => (await victim.call('GET', '/v1/nodes/n1')).body.last_error !== null, {
    what: 'last_error',
    timeoutMs: 20_000,
  })
  const direct = await victim.call('GET', '/v1/nodes/n1/management/boot_device')
  const answers = await Promise.all(
    [
      '/v1/nodes/n1',
      '/v1/nodes/n1/states',
      '/v1/nodes/n1/history?detail=true',
      '/rackward/v1/events?after=0&limit=1000',
    ].map((path) => victim.call('GET', path)),
  )
  const log = (await victim.log()).split('\n').filter((line) => line.startsWith('{'))
  const texts = [direct, ...answers]
    .map(({ body }) => textsOf(body))
    .concat([log.flatMap((line) => textsOf(JSON.parse(line)))])
  // The text came through everywhere: a place that drops it would prove nothing.
  for (const [i, found] of texts.entries())
    expect([i, found.some((text) => text.includes('marker'))]).toEqual([i, true])
  // A stack of our own has lines.
  expect(texts.flat().filter((text) => CONTROL.test(text.replaceAll('\n    at ', '')))).toEqual([])
  expect(texts.flat().filter((text) => text.length > MAX_LENGTH && text.includes('marker'))).toEqual([])
})
