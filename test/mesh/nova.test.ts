/** The Nova driver on the twin; `npm run test:nova` runs the same suite on a real Nova. */
import { expect, test } from 'vitest'
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
