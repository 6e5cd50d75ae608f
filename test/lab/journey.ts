/** One server from power-off to a login: enroll, manage, inspect, provide, deploy, and the proof. What any client of
 *  the API would do. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { until } from '../../kit/clock.ts'
import { run } from '../../kit/run.ts'
import type { ApiClient } from './client.ts'
import { fixedNetwork, mediaNode } from './media-nodes.ts'
import type { Rack } from './rack.ts'
import { BMC_PASSWORD, BMC_USER, type Server } from './server.ts'

export interface Seen {
  state: string
  phase: string
  doneBytes: number
  totalBytes: number
  startedMs: number
  endedMs: number | undefined
  /** When the conductor said so; its system starts then. */
  activeMs: number | undefined
  failed: string | undefined
}

export interface Result {
  readonly name: string
  readonly firmware: string
  /** Seconds. */
  readonly phases: Record<string, number>
  readonly address: string | null
  readonly proof: { readonly hostname: string; readonly kernel: string } | null
  readonly error?: string
  /** What its TPM proved of the boot in which it was deployed. */
  readonly tpm?: TpmSaid
}

export interface TpmSaid {
  readonly mode: string
  readonly proof: { readonly verdict: string; readonly by: string | null; readonly detail: string | null } | null
}

interface NodeView {
  readonly uuid: string
  readonly provision_state: string
  readonly last_error: string | null
  readonly reservation: string | null
  readonly driver_internal_info: {
    rackward: {
      phase: string
      last_seen: string | null
      milestones: Record<string, string>
      timings: Record<string, number>
      progress: { phase: string; done_bytes: number; total_bytes: number } | null
    }
  }
}

const FAILED = new Set([
  'enroll',
  'inspect failed',
  'clean failed',
  'deploy failed',
  'rescue failed',
  'unrescue failed',
  'service failed',
  'error',
])
const STATE_TIMEOUT_MS = 15 * 60_000
const LOGIN_TIMEOUT_MS = 10 * 60_000
const POLL_MS = 200
const LAST_LINES = 60

export const driverInfo = (server: Server): Record<string, string> =>
  server.bmc === 'redfish'
    ? { redfish_address: server.bmcIp, redfish_username: BMC_USER, redfish_password: BMC_PASSWORD }
    : { ipmi_address: server.bmcIp, ipmi_username: BMC_USER, ipmi_password: BMC_PASSWORD }

/** The console draws the rack: server-3 stands in unit 3. */
function placeOf(name: string) {
  const u = Number(/-(\d{1,2})$/.exec(name)?.[1] ?? 0)
  return u > 0 ? { extra: { rackward: { rack: 'lab', u } } } : {}
}

/** Enrolls a server with the port that it boots from. */
export async function enroll(
  api: ApiClient,
  server: Server,
  more: Record<string, unknown> = {},
  address?: string,
): Promise<string> {
  const node = await api.ok('POST', '/v1/nodes', {
    driver: server.bmc ?? 'ipmi',
    name: server.name,
    ...placeOf(server.name),
    driver_info: { ...driverInfo(server), ...(server.tpm ? { tpm: server.secureBoot ? 'require' : 'observe' } : {}) },
    properties: {
      capabilities: `boot_mode:${server.firmware}${server.secureBoot ? ',secure_boot:true' : ''}${server.siteCertificate ? ',secure_boot_uki:true' : ''}`,
    },
    ...more,
  })
  await api.ok('POST', '/v1/ports', {
    node_uuid: node.uuid,
    address: server.mac,
    ...(address === undefined ? {} : { extra: { ipv4_address: address } }),
  })
  return String(node.uuid)
}

/** Sends a verb and waits for the state; a state that means failure throws its last_error. */
export async function provision(
  api: ApiClient,
  node: string,
  body: Record<string, unknown>,
  at: { to: string; timeoutMs?: number; onLook?: (view: NodeView) => void },
): Promise<NodeView> {
  await api.ok('PUT', `/v1/nodes/${node}/states/provision`, body)
  return waitState(api, node, at)
}

export async function waitState(
  api: ApiClient,
  node: string,
  at: { to: string; timeoutMs?: number; onLook?: (view: NodeView) => void },
): Promise<NodeView> {
  return until(
    async () => {
      const view = (await api.ok('GET', `/v1/nodes/${node}`)) as unknown as NodeView
      at.onLook?.(view)
      if (view.provision_state === at.to && view.reservation === null) return view
      if (FAILED.has(view.provision_state) && view.reservation === null)
        throw new Error(`${view.provision_state}: ${view.last_error}`)
      return undefined
    },
    { what: `${node} to become ${at.to}`, timeoutMs: at.timeoutMs ?? STATE_TIMEOUT_MS, everyMs: POLL_MS },
  )
}

const USER_DATA = '#cloud-config\nssh_deletekeys: true\nssh_genkeytypes: [ed25519]\n'

export const configDrive = (server: Server, publicKey: string, userData = USER_DATA) => ({
  meta_data: { hostname: server.name, name: server.name, public_keys: { lab: publicKey } },
  network_data: {
    links: [{ id: 'boot', type: 'phy', ethernet_mac_address: server.mac }],
    networks: [{ id: 'boot4', type: 'ipv4_dhcp', link: 'boot', network_id: 'rack' }],
    services: [],
  },
  user_data: userData,
})

/** The whole way. Never throws: what went wrong is in the result. */
export async function travel(parts: {
  api: ApiClient
  rack: Rack
  server: Server
  image: string
  seen: Seen
  /** What it is told besides, and the address that it must have for it. */
  host?: { address: string; userData: string }
  /** It boots by virtual media, and has this address in the ramdisk as in the system that is deployed; absent: it boots
   *  from the network. */
  fixedIp?: string
  /** For each state, and for the login; absent: enough for a server of this machine's own architecture. */
  timeoutMs?: number
  /** What every DHCP server gives it. */
  address?: string
}): Promise<Result> {
  const { api, rack, server, seen, fixedIp, timeoutMs = STATE_TIMEOUT_MS } = parts
  const phases: Record<string, number> = {}
  let lapMs = Date.now()
  const lap = (name: string) => {
    phases[name] = Math.round((Date.now() - lapMs) / 100) / 10
    lapMs = Date.now()
  }
  const onLook = (view: NodeView) => {
    const { progress, phase, last_seen } = view.driver_internal_info.rackward
    seen.state = view.provision_state
    seen.phase = progress?.phase ?? (phase === 'agent' ? (last_seen ?? '') : phase)
    seen.doneBytes = progress?.done_bytes ?? 0
    seen.totalBytes = progress?.total_bytes ?? 0
  }
  let address: string | null = null
  seen.startedMs = Date.now()
  try {
    const fixed = fixedIp ? mediaNode(server, fixedIp) : {}
    const node = await enroll(api, server, fixed, parts.host?.address ?? parts.address)
    await provision(api, node, { target: 'manage' }, { to: 'manageable', timeoutMs, onLook })
    lap('bmc')
    const inspected = await provision(api, node, { target: 'inspect' }, { to: 'manageable', timeoutMs, onLook })
    lap('inspect')
    const hello = Date.parse(inspected.driver_internal_info.rackward.milestones.hello ?? '')
    if (!Number.isNaN(hello)) {
      phases.netboot = Math.max(0, Math.round(((phases.inspect ?? 0) - (lapMs - hello) / 1000) * 10) / 10)
      phases.inspect = Math.round(((phases.inspect ?? 0) - phases.netboot) * 10) / 10
    }
    await provision(api, node, { target: 'provide' }, { to: 'available', timeoutMs, onLook })
    lap('clean')
    await api.ok('PATCH', `/v1/nodes/${node}`, [{ op: 'add', path: '/instance_info/image_source', value: parts.image }])
    const publicKey = (await readFile(join(rack.dir, 'id_ed25519.pub'), 'utf8')).trim()
    const drive = configDrive(server, publicKey, parts.host?.userData)
    const active = await provision(
      api,
      node,
      {
        target: 'active',
        configdrive: { ...drive, ...(fixedIp ? { network_data: fixedNetwork(server.mac, fixedIp) } : {}) },
      },
      { to: 'active', timeoutMs, onLook },
    )
    lap('deploy')
    seen.activeMs = Date.now()
    const tpm = server.tpm ? ((await api.ok('GET', `/rackward/v1/nodes/${node}/tpm`)) as unknown as TpmSaid) : undefined
    for (const [name, seconds] of Object.entries(active.driver_internal_info.rackward.timings))
      phases[name] = Math.round(seconds * 10) / 10
    seen.phase = 'first boot, until a login works'
    seen.totalBytes = 0
    address = fixedIp ?? (await addressOf(api, node, server.mac))
    const proof = await login(rack, address, server.name, parts.timeoutMs)
    lap('boot')
    seen.phase = 'logged in'
    seen.endedMs = Date.now()
    return { name: server.name, firmware: server.firmware, phases, address, proof, ...(tpm ? { tpm } : {}) }
  } catch (error) {
    seen.failed = (error as Error).message
    seen.endedMs = Date.now()
    return {
      name: server.name,
      firmware: server.firmware,
      phases,
      address,
      proof: null,
      error: (error as Error).message,
    }
  }
}

export async function addressOf(api: ApiClient, node: string, mac: string): Promise<string> {
  const { ports } = (await api.ok('GET', `/v1/ports/detail?node=${node}`)) as {
    ports: { address: string; internal_info: { ipv4_address?: string } }[]
  }
  const address = ports.find((port) => port.address === mac)?.internal_info.ipv4_address
  if (!address) throw new Error(`the port ${mac} has no address`)
  return address
}

/** What a server wrote last to its console, without escape sequences. */
async function lastWords(rack: Rack, name: string): Promise<string> {
  const server = rack.servers.find((one) => one.name === name)
  const log = server ? await readFile(join(server.dir, 'console.log'), 'latin1').catch(() => '') : ''
  return stripVTControlCharacters(log)
    .split(/[\r\n]+/)
    .slice(-LAST_LINES)
    .join('\n')
}

/** Logs in with the key of the config drive. The host name must be the one that the config drive gave: then it was read
 *  by this system. Without a login in time, it throws what ssh said last and the end of the console. */
export async function login(
  rack: Rack,
  address: string,
  hostname: string,
  timeoutMs = LOGIN_TIMEOUT_MS,
): Promise<{ hostname: string; kernel: string }> {
  const options = [
    'BatchMode=yes',
    'StrictHostKeyChecking=no',
    'UserKnownHostsFile=/dev/null',
    'ConnectTimeout=5',
    'LogLevel=ERROR',
  ]
  const argv = rack.in([
    'ssh',
    '-i',
    join(rack.dir, 'id_ed25519'),
    ...options.flatMap((option) => ['-o', option]),
    `debian@${address}`,
    'hostname && uname -r && sync',
  ])
  let said = ''
  try {
    return await until(
      async () => {
        const failed = (error: Error) => ({ code: 1, stdout: '', stderr: error.message })
        const { code, stdout, stderr } = await run(argv, { timeoutMs: 30_000 }).catch(failed)
        said = `${stderr}${stdout}`.trim()
        const [host = '', kernel = ''] = stdout.trim().split('\n')
        return code === 0 && host === hostname && { hostname: host, kernel }
      },
      { what: `a login at ${address} as ${hostname}`, timeoutMs, everyMs: 500 },
    )
  } catch (error) {
    const console = await lastWords(rack, hostname)
    throw new Error(`${(error as Error).message}\nssh: ${said}\nthe end of its console:\n${console}`, { cause: error })
  }
}
