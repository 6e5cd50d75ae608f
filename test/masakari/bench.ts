/** A conductor with Masakari's API before a mesh in memory: a real arbiter behind its real API, a cloud that moves what
 *  it is told to. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import bcrypt from 'bcryptjs'
import { startConductor, type Conductor } from '../../conductor/conductor.ts'
import { Config } from '../../conductor/config.ts'
import type { Driver } from '../../host-agent/adapters/instances/driver.ts'
import { startMeshApi } from '../../host-agent/api/server.ts'
import { AgentConfig } from '../../host-agent/config.ts'
import type { Instance } from '../../host-agent/evacuate/instances.ts'
import { monotonicClock } from '../../kit/clock.ts'
import { silentLog } from '../../kit/log.ts'
import { call as plain, type Answer } from '../conductor/client.ts'
import { MemoryMesh } from '../mesh/memory-world.ts'
import { StoreBench } from '../conductor/postgres.ts'

export const BASE = '/instance-ha/v1'
/** Each one's password is its name with "-password" behind it. */
const USERS = { admin: 'admin', monitor: 'operator', looker: 'reader' } as const

/** Instances and where each runs; every order is noted. */
export class Cloud {
  readonly at = new Map<string, string>()
  readonly orders: string[] = []
  /** Called with each order, before it is answered. */
  onOrder: (order: string) => void = () => undefined

  readonly driver: Driver = {
    name: 'memory',
    choosesTarget: false,
    graceMs: 0,
    survey: async () => ({ instances: {} }),
    list: async (host) => ({ complete: true, instances: this.of(host) }),
    prepare: async () => undefined,
    locate: async (host, { instances: ids }) =>
      new Map(
        ids.map((id) => {
          const now = this.at.get(id) ?? host
          return [id, now === host ? { at: 'source' as const } : { at: 'moved' as const, ref: id, to: now }]
        }),
      ),
    start: async ({ instance, target }) => {
      this.orders.push(`start ${instance} on ${target}`)
      this.at.set(instance, target ?? 'h3')
      return { got: 'accepted', ref: instance }
    },
    migrate: async () => ({ got: 'refused', why: 'not here', final: true }),
    restart: async ({ host, instance, step }) => {
      this.orders.push(`${step} ${instance} of ${host}`)
      this.onOrder(`${step} ${instance} of ${host}`)
      return { got: 'done' }
    },
    disable: async (host) => {
      this.orders.push(`disable ${host}`)
      return { got: 'done' }
    },
    readmit: async () => true,
  }

  private of(host: string): Instance[] {
    return [...this.at].flatMap(([id, where]) =>
      where === host
        ? [{ id, name: `vm-${id.slice(0, 4)}`, priority: 0, memoryMb: 1, group: null, unprotected: null }]
        : [],
    )
  }
}

const loginOf = (user: string) => ({
  authorization: `Basic ${Buffer.from(`${user}:${user}-password`).toString('base64')}`,
})

export class Bench {
  readonly mesh: MemoryMesh
  readonly cloud: Cloud
  readonly base: string
  private readonly parts: { dir: string; conductor: Conductor; stopApi: () => Promise<void>; store: StoreBench }

  private constructor(made: Pick<Bench, 'mesh' | 'cloud' | 'base'>, parts: Bench['parts']) {
    this.mesh = made.mesh
    this.cloud = made.cloud
    this.base = made.base
    this.parts = parts
  }

  static async start(
    more: Record<string, unknown> = {},
    hosts: readonly string[] = ['h1', 'h2', 'h3'],
  ): Promise<Bench> {
    const dir = await mkdtemp(join(tmpdir(), 'rackward-masakari-'))
    const lines = await Promise.all(
      Object.keys(USERS).map(async (user) => `${user}:${await bcrypt.hash(`${user}-password`, 4)}\n`),
    )
    await writeFile(join(dir, 'htpasswd'), lines.join(''), { mode: 0o600 })
    const cloud = new Cloud()
    const mesh = new MemoryMesh(cloud.driver, hosts)
    for (const host of hosts) mesh.living.add(host)
    const agent = AgentConfig.parse({
      name: 'a1',
      role: 'arbiter',
      planes: { management: { address: '127.0.0.1' } },
      consul: { tokenFile: '/t' },
      api: { listen: [{ address: '127.0.0.1', port: 0 }], url: 'http://127.0.0.1:1', auth: { strategy: 'noauth' } },
    })
    const api = await startMeshApi(agent, {
      core: mesh.core,
      api: null,
      consul: mesh.consul(),
      clock: monotonicClock,
      log: silentLog,
      pages: () => [],
    })
    const store = new StoreBench()
    const config = Config.parse({
      data: join(dir, 'data'),
      images: { store: join(dir, 'images') },
      store: await store.store(),
      api: {
        listen: [{ address: '127.0.0.1', port: 0 }],
        socket: join(dir, 'api.sock'),
        auth: {
          strategy: 'http_basic',
          file: join(dir, 'htpasswd'),
          users: Object.fromEntries(Object.entries(USERS).map(([user, role]) => [user, { role }])),
        },
      },
      mesh: { arbiters: api.addresses },
      masakari: true,
      ...more,
    })
    const conductor = await startConductor(config, { log: silentLog })
    const base = conductor.addresses[0] as string
    return new Bench({ mesh, cloud, base }, { dir, conductor, store, stopApi: () => api.stop() })
  }

  /** The same API on a unix socket. */
  get socket(): string {
    return join(this.parts.dir, 'api.sock')
  }

  /** Its image store. */
  get images(): string {
    return join(this.parts.dir, 'images')
  }

  async stop(): Promise<void> {
    const { dir, conductor, store, stopApi } = this.parts
    await conductor.stop()
    await stopApi()
    this.mesh.stop()
    await store.stop()
    await rm(dir, { recursive: true })
  }

  /** A request of Masakari's API. */
  call(method: string, path: string, body?: unknown, { user = 'admin', version = '1.3' } = {}): Promise<Answer> {
    const headers = {
      ...(user === '' ? {} : loginOf(user)),
      ...(version === '' ? {} : { 'OpenStack-API-Version': `instance-ha ${version}` }),
    }
    return plain(method, BASE + path, body, headers, this.base)
  }

  /** A request of the API of the conductor. */
  api = (method: string, path: string, body?: unknown, user = 'admin'): Promise<Answer> =>
    plain(method, path, body, { ...loginOf(user), 'OpenStack-API-Version': 'baremetal latest' }, this.base)

  /** A request to a hook, with whatever headers. */
  hook = (path: string, body: unknown, headers: Record<string, string>): Promise<Answer> =>
    plain('POST', `/rackward/v1/hooks/${path}`, body, headers, this.base)

  /** As a host monitor sends it. */
  notify(hostname: string, more: Record<string, unknown> = {}): Promise<Answer> {
    const notification = {
      type: 'COMPUTE_HOST',
      hostname,
      generated_time: '2026-11-21T10:00:00.123456',
      payload: { event: 'STOPPED', cluster_status: 'OFFLINE', host_status: 'NORMAL' },
      ...more,
    }
    return this.call('POST', '/notifications', { notification }, { user: 'monitor', version: '' })
  }
}
