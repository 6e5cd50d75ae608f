/** Strangers that use up the conductor's file descriptors: its power poll has no socket and no child then, which is
 *  said, ends nothing, and passes. */
import { connect, type Socket } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { until } from '../../kit/clock.ts'
import { runOk } from '../../kit/run.ts'
import { Victim } from './victim.ts'

const DESCRIPTORS = 300
let victim: Victim
const sockets: Socket[] = []
beforeAll(async () => {
  victim = await Victim.start({ descriptors: DESCRIPTORS, config: { powerSync: { everySeconds: 1, lostAfter: 2 } } })
}, 60_000)
afterAll(async () => {
  for (const socket of sockets) socket.destroy()
  await victim.remove()
})

/** Connections that never finish their headers; whatever they leave is taken away too. */
async function eat(): Promise<void> {
  const { hostname, port } = new URL(victim.base)
  const open = () => {
    const socket = connect(Number(port), hostname)
    socket.on('error', () => undefined)
    socket.write('GET / HTTP/1.1\r\nX-Slow: ')
    sockets.push(socket)
  }
  for (let i = 0; i < 20; i += 1) open()
  await until(async () => (await victim.descriptors()) >= 40, { what: 'the connections', timeoutMs: 20_000 })
  await limit(await victim.descriptors())
  // Numbers below it may be free.
  for (let i = 0; i < 20; i += 1) open()
}
/** The soft limit of the running process. */
const limit = (count: number) =>
  runOk(['prlimit', '--pid', String(victim.pid), `--nofile=${count}:`], { timeoutMs: 30_000 })

test('a poll without descriptors is a fault in the log; the node is not blamed, and is read again afterwards', async () => {
  const driver_info = { ipmi_address: '127.99.97.96', ipmi_username: 'u', ipmi_password: 'p' }
  const { body } = await victim.call('POST', '/v1/nodes', { driver: 'fake-hardware', name: 'n1' })
  await victim.call('PUT', `/v1/nodes/${body.uuid}/states/provision`, { target: 'manage' })
  await until(async () => (await victim.call('GET', '/v1/nodes/n1')).body.provision_state === 'manageable', {
    what: 'manageable',
    timeoutMs: 30_000,
  })
  // From now on its BMC is one that is asked over the network.
  const changed = await victim.call('PATCH', '/v1/nodes/n1?reset_interfaces=true', [
    { op: 'replace', path: '/driver', value: 'ipmi' },
    { op: 'add', path: '/driver_info', value: driver_info },
  ])
  expect([changed.status, changed.body.error_message]).toEqual([200, undefined])
  await eat()
  await until(async () => !victim.alive || (await victim.log()).includes('run.resources'), {
    what: 'the fault in the log',
    timeoutMs: 20_000,
  })
  expect(victim.alive).toBe(true)
  for (const socket of sockets.splice(0)) socket.destroy()
  await limit(DESCRIPTORS)
  await until(() => victim.healthy(), { what: 'the conductor to answer again', timeoutMs: 20_000 })
  const asked = () =>
    victim
      .call('GET', '/rackward/v1/power-sync')
      .then((answer) => answer.body.last as { asked: number; not_asked: number } | null)
  await until(async () => ((await asked())?.asked ?? 0) > 0, { what: 'the BMC to be asked again', timeoutMs: 30_000 })
}, 120_000)
