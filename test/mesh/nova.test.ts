/** The Nova driver on the twin; `npm run test:nova` runs the same suite on a real Nova. */
import { expect, test } from 'vitest'
import { until } from '../../kit/clock.ts'
import { NovaDriver } from '../../host-agent/adapters/instances/nova.ts'
import { novaConformance, type NovaUnderTest } from './nova-conformance.ts'
import { MemoryMesh } from './memory-world.ts'
import { keystoneAt } from './keystone-account.ts'
import { NovaTwin } from './nova-twin.ts'

const HOSTS = ['cmp1', 'cmp2', 'cmp3'] as const

novaConformance(
  'the twin of Nova',
  async () => {
    const twin = new NovaTwin(HOSTS)
    const url = await twin.start()
    const nova: NovaUnderTest = {
      authUrl: `${url}/v3`,
      hosts: HOSTS,
      seed: async (host, count) => Array.from({ length: count }, (_, i) => twin.addServer(`vm-${host}-${i}`, host).id),
      kill: async (host) => twin.stopCompute(host),
      restart: async (host) => twin.startCompute(host),
      expireTokens: async () => twin.expireTokens(),
      setEnabled: async (host, enabled) => {
        const service = twin.services.find((one) => one.host === host)
        if (service) service.status = enabled ? 'enabled' : 'disabled'
      },
      remove: async (ids) =>
        void twin.vms.splice(0, twin.vms.length, ...twin.vms.filter(({ id }) => !ids.includes(id))),
    }
    return { nova, stop: () => twin.stop() }
  },
  40_000,
)

const driverOf = (url: string, sharedDisks = true) => new NovaDriver(keystoneAt(`${url}/v3`), { sharedDisks })

test('what cannot be moved is named before any host fails', async () => {
  const twin = new NovaTwin(HOSTS)
  const url = await twin.start()
  try {
    twin.addServer('paused', 'cmp1', { vm_state: 'paused' })
    twin.addServer('local', 'cmp1', { image: { id: 'x' } })
    twin.addServer('unwanted', 'cmp1', { metadata: { HA_Enabled: 'False' } })
    twin.addServer('fine', 'cmp1', { metadata: { 'rackward:priority': '7' } })
    const { instances } = await driverOf(url, false).survey(AbortSignal.timeout(5_000))
    const by = Object.fromEntries((instances.cmp1 ?? []).map((one) => [one.name, one]))
    expect(by.paused?.unprotected).toMatch(/paused/)
    expect(by.local?.unprotected).toMatch(/rebuild it from its image/)
    expect(by.unwanted?.unprotected).toMatch(/HA_Enabled/)
    expect(by.fine).toMatchObject({ unprotected: null, priority: 7 })
  } finally {
    await twin.stop()
  }
})

test('a server is stopped and started where it is; one elsewhere, one that wants no HA and one that is paused are not', async () => {
  const twin = new NovaTwin(HOSTS)
  const url = await twin.start()
  try {
    const driver = driverOf(url)
    const signal = AbortSignal.timeout(20_000)
    const { id: instance } = twin.addServer('fine', 'cmp1', { vm_state: 'error' })
    for (const step of ['stop', 'start'] as const) {
      const taken = async () => (await driver.restart({ host: 'cmp1', instance, step }, signal)).got === 'done'
      expect(await taken()).toBe(false)
      await until(taken, { what: step, timeoutMs: 20_000, everyMs: 20 })
      expect(twin.vms[0]?.vm_state).toBe(step === 'stop' ? 'stopped' : 'active')
    }
    const unwanted = twin.addServer('unwanted', 'cmp1', { metadata: { HA_Enabled: 'False' } }).id
    const paused = twin.addServer('paused', 'cmp1', { vm_state: 'paused' }).id
    const refusal = async (host: string, id: string) => driver.restart({ host, instance: id, step: 'stop' }, signal)
    expect(await refusal('cmp2', instance)).toEqual({ got: 'refused', why: 'it is on cmp1, not on cmp2' })
    expect(await refusal('cmp1', unwanted)).toMatchObject({ why: expect.stringContaining('HA_Enabled') })
    expect(await refusal('cmp1', paused)).toMatchObject({ why: expect.stringContaining('paused') })

    expect(await driver.disable('cmp1', 'nova-compute stopped', signal)).toEqual({ got: 'done' })
    const [service] = twin.services
    expect(service).toMatchObject({ host: 'cmp1', status: 'disabled', forced: false })
  } finally {
    await twin.stop()
  }
})

test('no server is ever evacuated twice at once, whatever gets lost', { timeout: 60_000 }, async () => {
  const twin = new NovaTwin(HOSTS)
  const url = await twin.start()
  for (let i = 0; i < 12; i += 1) twin.addServer(`vm${i}`, 'cmp1')
  twin.stopCompute('cmp1')
  twin.loseAcks = 12
  const mesh = new MemoryMesh(driverOf(url), HOSTS)
  try {
    await mesh.fence('cmp1', 40_000)
    expect(twin.broken).toEqual([])
    expect(twin.migrations.length).toBe(12)
    expect(mesh.intents().every(({ state }) => state === 'CONFIRMED')).toBe(true)
  } finally {
    mesh.stop()
    await twin.stop()
  }
})
