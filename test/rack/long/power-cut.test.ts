/** The power of a server is cut while its image is written: the deploy is tried again and succeeds, and so does a
 *  rebuild after it. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { enroll, provision, waitState } from '../../lab/journey.ts'
import type { Server } from '../../lab/server.ts'
import { sh } from '../../lab/shell.ts'
import { openBench, useTiny, type Bench } from '../setup.ts'
import { Subject } from '../subject.ts'

const GIB = 1024 ** 3
const MIB = 1024 ** 2
let bench: Bench
let server: Server
let subject: Subject
beforeAll(async () => {
  bench = await openBench('cut', {
    callbackTimeoutSeconds: 90,
    agentSilenceSeconds: 12,
    powerTimeoutSeconds: 30,
    effectTries: 2,
  })
  server = await bench.rack.addServer({
    name: 'one',
    firmware: 'bios',
    card: 'virtio',
    diskKind: 'virtio',
    diskBytes: 5 * GIB,
    memoryMb: 1024,
  })
  subject = new Subject(bench, server)
  // Progress comes about once a second: at full speed an image of this size is written between two reports.
  const slow = `tc qdisc add dev ${server.taps[0]} root tbf rate 300mbit burst 256kb latency 100ms`
  await sh(bench.rack.in(slow.split(' ')))
  const image = await useTiny(bench, 'tiny', { dataMib: 192, totalMib: 512 })
  await bench.conductor.start()

  const { api } = bench.conductor
  subject.node = await enroll(api, server)
  await provision(api, subject.node, { target: 'manage' }, { to: 'manageable' })
  await provision(api, subject.node, { target: 'inspect' }, { to: 'manageable' })
  await provision(api, subject.node, { target: 'provide' }, { to: 'available' })
  await subject.setInfo({ image_source: image })
})
afterAll(() => bench?.rack.down())

test('the power is cut while the image is written: it is tried again, and a rebuild succeeds too', async () => {
  const { api } = bench.conductor
  await api.ok('PUT', `/v1/nodes/${subject.node}/states/provision`, { target: 'active' })
  await subject.writing(30 * MIB)
  await bench.rack.cutPower(server)
  expect(await subject.signature()).toBe(0)

  const said = new Set<string | null>()
  await waitState(api, subject.node, { to: 'active', onLook: ({ last_error }) => void said.add(last_error) })
  expect([...said].join('\n')).toMatch(/the agent was lost \(the agent was at "write".*trying again/)
  expect(await subject.look()).toMatchObject({ last_error: null, driver_internal_info: { rackward: { attempt: 2 } } })
  expect(await subject.signature()).toBe(0xaa55)

  await subject.deploy('rebuild')
  expect(await subject.look()).toMatchObject({ provision_state: 'active', last_error: null })
})
