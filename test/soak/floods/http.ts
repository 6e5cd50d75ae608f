/** Floods of the API's door: by strangers without a login, and by users of a project. */
import { request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { gzipSync } from 'node:zlib'
import type { Flood, Target } from './flood.ts'
import { pause } from '../pause.ts'
import { lanes } from './flood.ts'

const basic = (name: string, password: string) => `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`

interface Ask {
  readonly method: string
  readonly path: string
  readonly headers?: Record<string, string>
  readonly body?: string | Buffer
  readonly localAddress?: string
}

/** One request on a connection of its own; answers the status, 0 for none. */
const ask = (target: Target, what: Ask): Promise<number> =>
  new Promise((resolve) => {
    const options = { method: what.method, headers: what.headers ?? {}, timeout: 20_000, agent: false as const }
    const asked = request(
      `${target.api}${what.path}`,
      { ...options, ...(what.localAddress ? { localAddress: what.localAddress } : {}) },
      (response) => {
        response.resume()
        response.on('end', () => resolve(response.statusCode ?? 0))
        response.on('error', () => resolve(0))
      },
    )
    asked.on('timeout', () => asked.destroy())
    asked.on('error', () => resolve(0))
    asked.end(what.body)
  })

/** 16 KB of gzip become 16 MB of JSON. */
export const inflatedBodies: Flood = {
  name: 'inflated bodies, no login',
  async run(target, signal) {
    const bomb = gzipSync(`[${'[],'.repeat(5_000_000)}[]]`)
    const headers = { 'content-type': 'application/json', 'content-encoding': 'gzip' }
    return lanes(20, signal, () =>
      ask(target, { method: 'POST', path: '/v1/continue_inspection', headers, body: bomb }),
    )
  },
}

export const halfRequests: Flood = {
  name: 'connections that never finish a request',
  async run(target, signal) {
    const { hostname, port } = new URL(target.api)
    const open = new Set<Socket>()
    const count = await lanes(4, signal, async (i) => {
      if (open.size >= 3000) return pause(100)
      const socket = connect({ host: hostname, port: Number(port), localAddress: `127.0.1.${(i % 200) + 1}` })
      open.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => open.delete(socket))
      socket.write('POST /v1/nodes HTTP/1.1\r\nHost: a\r\nX-Slow: ')
      return pause(2)
    })
    for (const socket of open) socket.destroy()
    return count
  },
}

export const failedLogins: Flood = {
  name: 'failed logins from 50 addresses',
  run: (target, signal) =>
    lanes(50, signal, (i) =>
      ask(target, {
        method: 'GET',
        path: '/v1/nodes',
        headers: { authorization: basic(i % 3 === 0 ? 'admin' : `user-${i}`, `guess-${i}`) },
        localAddress: `127.0.2.${(i % 50) + 1}`,
      }),
    ),
}

export const respelledLogins: Flood = {
  name: 'one right password in ever new spellings',
  run: (target, signal) =>
    lanes(8, signal, (i) => {
      const spelled = Buffer.from('reader:reader-password').toString('base64').replace(/=*$/, '')
      return ask(target, {
        method: 'GET',
        path: '/v1/nodes?limit=1',
        headers: { authorization: `Basic${' '.repeat((i % 50) + 1)}${spelled}` },
      })
    }),
}

export const bigRecords: Flood = {
  name: 'big records of a project',
  run(target, signal) {
    const extra = { blob: 'x'.repeat(900_000) }
    const drive = Buffer.alloc(40 * 1024 * 1024, 7).toString('base64')
    return lanes(2, signal, (i) => {
      const headers = {
        authorization: basic('tenant', 'tenant-password'),
        'content-type': 'application/json',
        'openstack-api-version': 'baremetal latest',
      }
      const uuid = target.tenantNodes[i % target.tenantNodes.length] as string
      return i % 5 === 0
        ? ask(target, {
            method: 'PUT',
            path: `/v1/nodes/${uuid}/states/provision`,
            headers,
            body: JSON.stringify({ target: 'active', configdrive: drive }),
          })
        : ask(target, {
            method: 'PATCH',
            path: `/v1/nodes/${uuid}`,
            headers,
            body: JSON.stringify([{ op: 'add', path: '/extra', value: extra }]),
          })
    })
  },
}

export const eventReplays: Flood = {
  name: 'event streams from the beginning',
  run: (target, signal) =>
    lanes(100, signal, () => {
      const authorization = basic('tenant', 'tenant-password')
      return ask(target, {
        method: 'GET',
        path: '/rackward/v1/events?after=0',
        headers: { authorization, accept: 'text/event-stream' },
      })
    }),
}

export const statementShapes: Flood = {
  name: 'ever new filters',
  run: (target, signal) =>
    lanes(4, signal, (i) => {
      const list = Array.from({ length: (i % 1250) + 1 }, () => 'a').join()
      const key = ['uuid', 'name', 'created_at', 'owner', 'driver'][i % 5]
      return ask(target, {
        method: 'GET',
        path: `/v1/nodes?shard=${list}&sort_key=${key}`,
        headers: { authorization: basic('reader', 'reader-password'), 'openstack-api-version': 'baremetal latest' },
      })
    }),
}

/** A page of another origin in the operator's browser. What it asks for must not happen: the soak looks at the power of
 *  the decoy afterwards. */
export const crossSite: Flood = {
  name: 'a web page that fences',
  run: (target, signal) =>
    lanes(4, signal, (i) => {
      const headers = {
        authorization: basic('admin', 'admin-password'),
        origin: 'http://evil.example',
        'content-type': i % 2 === 0 ? 'text/plain' : 'application/json',
      }
      return ask(target, {
        method: 'POST',
        path: `/rackward/v1/nodes/${target.decoy}/fence`,
        headers,
        body: '{"act":"off","timeout_ms":5000}',
      })
    }),
}

export const forgedSecrets: Flood = {
  name: 'a lessee that writes sealed values',
  run: (target, signal) =>
    lanes(2, signal, (i) => {
      const headers = {
        authorization: basic('tenant', 'tenant-password'),
        'content-type': 'application/json',
        'openstack-api-version': 'baremetal latest',
      }
      const uuid = target.tenantNodes[i % target.tenantNodes.length] as string
      const value = i % 2 === 0 ? 'sealed:v1:AAAA' : 'sealed:v2:AAAA'
      return ask(target, {
        method: 'PATCH',
        path: `/v1/nodes/${uuid}`,
        headers,
        body: JSON.stringify([{ op: 'add', path: '/instance_info/x_password', value }]),
      })
    }),
}
