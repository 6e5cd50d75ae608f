/** The configuration of a Consul agent of the mesh, for Consul 1.8 to today. Pure. Names: Consul's documents on agent
 *  configuration. */

export interface ConsulVersion {
  readonly major: number
  readonly minor: number
}

export interface ConsulSetup {
  readonly version: ConsulVersion
  readonly name: string
  readonly server: boolean
  readonly address: string
  readonly dataDir: string
  /** base64 of 32 bytes. */
  readonly gossipKey: string
  /** The server that begins the cluster, at its first start alone. */
  readonly begins: boolean
  readonly join: readonly string[]
  readonly token: string
  /** First server alone. */
  readonly managementToken?: string
  readonly tls: { readonly ca: string; readonly cert?: string; readonly key?: string }
}

export const DATACENTER = 'rackward'

export function consulConfig(setup: ConsulSetup): Record<string, unknown> {
  const at = (minor: number) => setup.version.major > 1 || setup.version.minor >= minor
  const { tls, server } = setup
  const files = { ca_file: tls.ca, ...(tls.cert ? { cert_file: tls.cert, key_file: tls.key } : {}) }
  const management =
    setup.managementToken === undefined ? {} : { [at(11) ? 'initial_management' : 'master']: setup.managementToken }
  return {
    node_name: setup.name,
    datacenter: DATACENTER,
    data_dir: setup.dataDir,
    server,
    bind_addr: setup.address,
    advertise_addr: setup.address,
    // People and programs of this machine alone; nothing else of Consul is open to the network.
    client_addr: '127.0.0.1',
    addresses: { http: '127.0.0.1' },
    ports: { dns: -1, grpc: -1, ...(at(14) ? { grpc_tls: server ? 8503 : -1 } : {}) },
    encrypt: setup.gossipKey,
    encrypt_verify_incoming: true,
    encrypt_verify_outgoing: true,
    retry_join: [...setup.join],
    retry_interval: '2s',
    leave_on_terminate: false,
    skip_leave_on_interrupt: true,
    disable_update_check: true,
    log_level: 'WARN',
    acl: {
      enabled: true,
      default_policy: 'deny',
      down_policy: 'extend-cache',
      enable_token_persistence: false,
      tokens: { agent: setup.token, default: setup.token, ...management },
    },
    ...(at(12)
      ? {
          tls: {
            defaults: files,
            internal_rpc: { verify_incoming: server, verify_outgoing: true, verify_server_hostname: true },
            https: { verify_incoming: false },
          },
        }
      : { ...files, verify_incoming_rpc: server, verify_outgoing: true, verify_server_hostname: true }),
    ...(server
      ? {
          ...(setup.begins ? { bootstrap_expect: 1 } : {}),
          // A server that is cleaned away takes its sessions with it, and the leadership with them.
          autopilot: { cleanup_dead_servers: false },
          connect: { enabled: true },
          auto_encrypt: { allow_tls: true },
          performance: { raft_multiplier: 1 },
        }
      : { auto_encrypt: { tls: true } }),
  }
}

/** What a node may do in Consul, and no more: a host speaks of itself alone, an arbiter writes what the mesh knows. */
export function policyRules(name: string, role: 'host' | 'arbiter'): string {
  const quoted = JSON.stringify(name)
  const own = [
    `node ${quoted} { policy = "write" }`,
    'node_prefix "" { policy = "read" }',
    `agent ${quoted} { policy = "read" }`,
  ]
  const host = ['key_prefix "rackward/" { policy = "read" }', `key "rackward/members/${name}" { policy = "write" }`]
  const arbiter = [
    'key_prefix "rackward/" { policy = "write" }',
    `session ${quoted} { policy = "write" }`,
    'service_prefix "" { policy = "read" }',
  ]
  return [...own, ...(role === 'arbiter' ? arbiter : host)].join('\n')
}

/** `Consul v1.8.7` -> 1, 8. */
export function parseVersion(text: string): ConsulVersion | undefined {
  const found = /Consul v?(\d+)\.(\d+)/.exec(text)
  return found ? { major: Number(found[1]), minor: Number(found[2]) } : undefined
}
