/** `rackward doctor` before servers of other releases, proxies and strangers: whatever they answer, it says something
 *  and does not break. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { apiFindings } from '../../cli/doctor-api.ts'
import { openApi, type Api } from '../../cli/server.ts'

const ME = { user: 'alice', role: 'admin', needs_login: true, conductor: 'c1', now: '2026-01-01T00:00:00Z' }
const PLACE = { url: new URL('https://192.0.2.1:6385') }

/** By the beginning of the path; anything else is null. */
const answering = (answers: Readonly<Record<string, unknown>>): Api => ({
  ...openApi(PLACE),
  ask: async (_method, path) =>
    structuredClone(Object.entries(answers).find(([start]) => path.startsWith(start))?.[1] ?? null),
})
const look = (answers: Readonly<Record<string, unknown>>) => apiFindings(answering(answers), () => Date.parse(ME.now))

test('warnings of /readyz are shown, and there may be none or something else', async () => {
  const nodes = { nodes: [] }
  const found = (warnings: unknown) => look({ '/rackward/v1/me': ME, '/readyz': { warnings }, '/v1/nodes': nodes })
  expect(await found(['the disk is slow'])).toContainEqual(
    expect.objectContaining({ check: 'ready', level: 'warn', says: 'the disk is slow' }),
  )
  for (const none of [null, undefined, 'text', 7, { a: 1 }, [null, {}]])
    expect((await found(none)).map(({ check }) => check)).not.toContain('ready')
})

const some = <T>(known: fc.Arbitrary<T>) => fc.oneof({ weight: 3, arbitrary: known }, fc.jsonValue())
const text = some(fc.string({ maxLength: 8 }))
const node = fc.record(
  {
    name: text,
    uuid: text,
    driver: some(fc.constantFrom('ipmi', 'redfish', 'fake-hardware')),
    driver_info: some(fc.dictionary(fc.constantFrom('ipmi_address', 'ipmi_port', 'redfish_address'), text)),
    provision_state: some(fc.constantFrom('active', 'deploy failed', 'error')),
    power_state: text,
    fault: some(fc.constantFrom(null, 'power failure')),
    last_error: text,
  },
  { requiredKeys: [] },
)

test('no answer ends it with an error of its own', async () => {
  const answers = fc.record({
    '/rackward/v1/me': some(fc.constant(ME)),
    '/readyz': some(fc.record({ warnings: fc.jsonValue(), damaged: fc.jsonValue() }, { requiredKeys: [] })),
    '/v1/nodes': some(fc.record({ nodes: some(fc.array(some(node), { maxLength: 4 })) })),
    '/rackward/v1/mesh': fc.jsonValue(),
  })
  await fc.assert(
    fc.asyncProperty(answers, async (given) => {
      const found = await look(given)
      expect(found.length).toBeGreaterThan(0)
      for (const { says } of found) expect(typeof says).toBe('string')
    }),
    { numRuns: 300 },
  )
})
