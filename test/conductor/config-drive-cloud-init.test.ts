/** Config drives as Debian's cloud-init reads them: its own data sources find instance, user data, vendor data and
 *  networks on what stands in the ISO. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { readLocated } from '../../cli/rack/located.ts'
import { resolve } from '../../cli/rack/resolve.ts'
import { buildConfigDrive } from '../../conductor/agents/config-drive.ts'
import type { NodeRecord } from '../../conductor/node/record.ts'
import { run, runOk } from '../../kit/run.ts'
import { ensureCloudInit } from '../../kit/setup/cloud-init.mjs'

const UUID = '6f2b7d1c-0000-4000-8000-000000000001'
const NODE = { uuid: UUID, name: 'n1', instanceUuid: null } as unknown as NodeRecord
const TIMEOUT = { timeoutMs: 120_000 }
const LIMIT_BYTES = 64 * 1024 * 1024
const JUDGE = join(import.meta.dirname, 'judges/cloud_init.py')
const CLOUD_CONFIG = '#cloud-config\nusers:\n  - name: ünal\n'

interface Found {
  readonly found: boolean
  readonly instance_id: string
  readonly hostname: string
  readonly metadata: Record<string, unknown>
  readonly user_data: readonly { readonly type: string; readonly text: string }[]
  readonly vendor_data: unknown
  readonly network: Readonly<Record<'interfaces' | 'netplan.yaml', string>> | null
}

let modules = ''
let dir = ''
beforeAll(() => {
  modules = ensureCloudInit()
}, 300_000)
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-cloud-init-'))
})
afterEach(() => rm(dir, { recursive: true }))

/** Finds the file system as cloud-init does, by its label, and gives its files to cloud-init. */
async function judge(given: Record<string, unknown>, macs: readonly string[] = []): Promise<Found> {
  const iso = join(dir, 'drive.iso')
  await writeFile(iso, await buildConfigDrive(NODE, given, LIMIT_BYTES))
  const label = (await runOk(['blkid', '-p', '-o', 'value', '-s', 'LABEL', iso], TIMEOUT)).trim()
  const kind = { 'config-2': 'config-2', cidata: 'nocloud' }[label]
  if (kind === undefined) throw new Error(`no data source looks for ${label}`)
  const [folder, work] = [join(dir, 'files'), join(dir, 'work')]
  await mkdir(work)
  await runOk(['xorriso', '-osirrox', 'on', '-indev', iso, '-extract', '/', folder], TIMEOUT)
  // What is read-only in the ISO is so in the folder, and the judge copies it.
  await runOk(['chmod', '-R', 'u+w', folder], TIMEOUT)
  const env = { PYTHONPATH: modules, PYTHONDONTWRITEBYTECODE: '1' }
  const { code, stdout, stderr } = await run(['/usr/bin/python3', JUDGE, kind, folder, work, ...macs], {
    ...TIMEOUT,
    env,
  })
  if (code !== 0) throw new Error(stderr)
  return JSON.parse(stdout) as Found
}

const RACK = `version: 1
site: lab
networks:
  mgmt: { cidr: 10.0.0.0/24, gateway: 10.0.0.1, dns: [10.0.0.2], mtu: 1500 }
  storage: { cidr: 10.1.0.0/16, vlan: 20, mtu: 9000 }
racks:
  r1:
    units:
      u01:
        driver: fake-hardware
        ports: ['52:54:00:00:10:01', '52:54:00:00:11:01']
        network: { bond: { mode: 802.3ad, ports: [0, 1] }, addresses: { mgmt: 10.0.0.11, storage: 10.1.0.11 } }
`
const MACS = ['52:54:00:00:10:01=ens1', '52:54:00:00:11:01=ens2']

describe('OpenStack’s config drive', () => {
  test('instance, host name, user data and vendor data', async () => {
    expect(await judge({ user_data: CLOUD_CONFIG, vendor_data: { site: { rack: 'r1' } } })).toMatchObject({
      found: true,
      instance_id: UUID,
      hostname: 'n1',
      user_data: [{ type: 'text/cloud-config', text: CLOUD_CONFIG }],
      metadata: { name: 'n1' },
    })
  })

  test('the networks of a rack file: a bond, and a VLAN on it', async () => {
    const { nodes } = resolve(await readLocated(RACK, 'rack.yaml'))
    const { network } = await judge({ ...nodes[0]?.spec.configdrive }, MACS)
    expect(network?.interfaces).toMatch(/iface bond0 inet static\n +address 10\.0\.0\.11\/24\n/)
    expect(network?.interfaces).toMatch(
      /iface ens2 inet manual\n +bond-master bond0\n(?: +.*\n)* +bond_mode 802\.3ad\n/,
    )
    expect(network?.interfaces).toMatch(
      /iface bond0\.20 inet static\n +address 10\.1\.0\.11\/16\n(?: +.*\n)* +mtu 9000\n/,
    )
    expect(network?.interfaces).toContain('route add default gw 10.0.0.1')
    expect(network?.interfaces).toContain('dns-nameservers 10.0.0.2')
    expect(network?.['netplan.yaml']).toMatch(/ens1:/)
  })
})

describe('NoCloud', () => {
  const NETWORK = {
    version: 2,
    ethernets: {
      nic0: { match: { macaddress: '52:54:00:00:10:01' }, 'set-name': 'nic0', addresses: ['10.0.0.11/24'] },
    },
  }

  test('all of it', async () => {
    const found = await judge({
      format: 'nocloud',
      user_data: CLOUD_CONFIG,
      vendor_data: { packages: ['vim'] },
      meta_data: { 'public-keys': ['ssh-ed25519 AAAA x'] },
      network_config: NETWORK,
    })
    expect(found).toMatchObject({
      found: true,
      instance_id: UUID,
      hostname: 'n1',
      user_data: [{ type: 'text/cloud-config', text: CLOUD_CONFIG }],
      vendor_data: { packages: ['vim'] },
    })
    expect(found.network?.interfaces).toMatch(/iface nic0 inet static\n +address 10\.0\.0\.11\/24/)
    expect(found.network?.['netplan.yaml']).toContain('52:54:00:00:10:01')
  })

  test('an object is a #cloud-config; the instance may be named otherwise', async () => {
    const meta = { 'instance-id': 'i-7', 'local-hostname': 'other' }
    const found = await judge({ format: 'nocloud', user_data: { hostname: 'ß', users: [] }, meta_data: meta })
    expect(found).toMatchObject({ instance_id: 'i-7', hostname: 'other', network: null })
    expect(found.user_data.map(({ type }) => type)).toEqual(['text/cloud-config'])
    expect(JSON.parse(found.user_data[0]?.text.split('\n')[1] ?? '')).toEqual({ hostname: 'ß', users: [] })
  })

  test('nothing given is a seed all the same', async () => {
    expect(await judge({ format: 'nocloud' })).toMatchObject({ found: true, instance_id: UUID, hostname: 'n1' })
  })
})

test('the judge finds nothing where the form is broken', async () => {
  const [folder, work] = [join(dir, 'files'), join(dir, 'work')]
  await mkdir(folder)
  await mkdir(work)
  await writeFile(join(folder, 'meta-data'), '{"instance-id": "i-1"}')
  const env = { PYTHONPATH: modules, PYTHONDONTWRITEBYTECODE: '1' }
  const { stdout } = await run(['/usr/bin/python3', JUDGE, 'nocloud', folder, work], { ...TIMEOUT, env })
  expect(JSON.parse(stdout)).toEqual({ found: false })
})
