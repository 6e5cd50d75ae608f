/** The Nova driver on a real Nova with three fake hypervisors, from Debian's packages (`npm run test:nova`; needs root,
 *  installs OpenStack, listens on 127.0.0.1). */
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { until } from '../../kit/clock.ts'
import { run } from '../../kit/run.ts'
import { ROOT } from '../lab/root.ts'
import { keystoneAt } from '../mesh/keystone-account.ts'
import { novaConformance, type NovaUnderTest } from '../mesh/nova-conformance.ts'

const HOSTS = ['cmp1', 'cmp2', 'cmp3'] as const
const AUTH_URL = 'http://127.0.0.1:25100/v3'

novaConformance(
  'a real Nova',
  async () => {
    const dir = process.env.PEER_NOVA_DIR ?? (await mkdtemp(join(tmpdir(), 'rackward-nova-')))
    const script = async (name: string, ...args: string[]) => {
      const { code, stdout, stderr } = await run([join(ROOT, 'test/nova/peer', name), ...args], {
        timeoutMs: 580_000,
        env: { PEER_NOVA_DIR: dir },
      })
      if (code !== 0) throw new Error(`${name} ${args.join(' ')}: ${stdout.slice(-500)} ${stderr.slice(-1_500)}`)
      return stdout
    }
    const stop = async () => void (await script('down.sh', '--wipe'))
    try {
      await script('up.sh')
    } catch (error) {
      await stop().catch(() => undefined)
      throw error
    }
    const keystone = keystoneAt(AUTH_URL)
    const ask = (method: string, path: string, body?: unknown) =>
      keystone.compute({ method, path, body, version: '2.79', signal: AbortSignal.timeout(60_000) })
    const services = async () =>
      (
        (await ask('GET', '/os-services?binary=nova-compute')).body as {
          services: { id: string; host: string; state: string }[]
        }
      ).services
    const known = new Set<string>()
    const nova: NovaUnderTest = {
      authUrl: AUTH_URL,
      hosts: HOSTS,
      async seed(host, count) {
        const rows = (await script('seed.sh', String(count), host)).split('\n').map((line) => line.trim().split(/\s+/))
        const ids = rows
          .filter((row) => row.length === 4 && row[3] === host && !known.has(row[0] as string))
          .map(([id]) => id as string)
        for (const id of ids) known.add(id)
        return ids
      },
      kill: async (host) => void (await script('compute.sh', 'kill', host)),
      async restart(host) {
        await script('compute.sh', 'start', host)
      },
      async expireTokens() {},
      async setEnabled(host, enabled) {
        const id = (await services()).find((one) => one.host === host)?.id
        await ask('PUT', `/os-services/${id}`, { status: enabled ? 'enabled' : 'disabled' })
      },
      async remove(ids) {
        for (const id of ids) {
          await ask('DELETE', `/servers/${id}`)
          await until(async () => (await ask('GET', `/servers/${id}`)).status === 404, {
            what: `server ${id} to be gone`,
            timeoutMs: 60_000,
            everyMs: 300,
          })
        }
        // The next test begins with three hosts that serve.
        await until(async () => (await services()).every(({ state }) => state === 'up'), {
          what: 'all hosts to be up',
          timeoutMs: 90_000,
          everyMs: 500,
        }).catch(() => undefined)
      },
    }
    return { nova, stop }
  },
  120_000,
)
