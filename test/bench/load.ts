/** A plain keep-alive client and the jobs that both servers are given, the same for both. */
import { Agent, request } from 'node:http'
import { systemClock } from '../../kit/clock.ts'

export interface Reply {
  readonly status: number
  readonly body: any
}

export interface Client {
  call(method: string, path: string, body?: unknown): Promise<Reply>
  close(): void
}

/** The version that both speak. */
const VERSION = '1.78'

export function client(base: string, sockets: number): Client {
  const agent = new Agent({ keepAlive: true, maxSockets: sockets })
  const call = ({
    method,
    path,
    body,
    again,
  }: {
    method: string
    path: string
    body: unknown
    again: boolean
  }): Promise<Reply> =>
    new Promise((resolve, reject) => {
      const text = body === undefined ? undefined : JSON.stringify(body)
      const headers = {
        'X-OpenStack-Ironic-API-Version': VERSION,
        ...(text === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
      }
      const ask = request(`${base}${path}`, { method, agent, headers }, (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('end', () => {
          const said = Buffer.concat(chunks).toString()
          resolve({ status: response.statusCode ?? 0, body: said ? (JSON.parse(said) as unknown) : undefined })
        })
        response.on('error', reject)
      })
      // A server may close an idle connection at the moment that it is used; every client asks once more then.
      ask.on('error', (error) => {
        if (again && ask.reusedSocket) call({ method, path, body, again: false }).then(resolve, reject)
        else reject(error)
      })
      ask.end(text)
    })
  return { call: (method, path, body) => call({ method, path, body, again: true }), close: () => agent.destroy() }
}

export async function must(c: Client, method: string, path: string, body?: unknown): Promise<any> {
  const { status, body: said } = await c.call(method, path, body)
  if (status < 200 || status > 299) throw new Error(`${method} ${path}: ${status} ${JSON.stringify(said)}`)
  return said
}

/** Runs `jobs` jobs, `lanes` at a time. Answers seconds. */
export async function timed(jobs: number, lanes: number, job: (i: number) => Promise<unknown>): Promise<number> {
  const startMs = performance.now()
  let next = 0
  await Promise.all(
    Array.from({ length: lanes }, async () => {
      while (next < jobs) await job(next++)
    }),
  )
  return (performance.now() - startMs) / 1000
}

const mac = (i: number) =>
  `52:54:${[i >> 24, i >> 16, i >> 8, i].map((part) => (part & 255).toString(16).padStart(2, '0')).join(':')}`

export const nodeBody = (i: number, more: Record<string, unknown> = {}) => ({
  name: `bench-${i}`,
  driver: 'fake-hardware',
  resource_class: 'bench',
  properties: { cpus: 64, memory_mb: 262_144, local_gb: 960, cpu_arch: 'x86_64', capabilities: 'boot_mode:uefi' },
  extra: { rack: `r${i % 40}`, serial: `S${i}` },
  instance_info: {
    image_source: 'http://127.0.0.1/none.img',
    image_checksum: 'd41d8cd98f00b204e9800998ecf8427e',
    root_gb: 10,
  },
  ...more,
})

/** Enrolls nodes `from` to `to`, each with a port. Answers their UUIDs and the seconds it took. */
export async function enroll(
  c: Client,
  range: { from: number; to: number },
  lanes: number,
): Promise<{ uuids: string[]; seconds: number }> {
  const uuids: string[] = []
  const seconds = await timed(range.to - range.from, lanes, async (i) => {
    const { uuid } = await must(c, 'POST', '/v1/nodes', nodeBody(range.from + i))
    await must(c, 'POST', '/v1/ports', { node_uuid: uuid, address: mac(range.from + i) })
    uuids.push(uuid as string)
  })
  return { uuids, seconds }
}

export async function listAll(
  c: Client,
  path: string,
): Promise<{ nodes: any[]; seconds: number; slowestPage: number }> {
  const startMs = performance.now()
  const nodes: any[] = []
  let slowestPage = 0
  for (let next: string | undefined = path; next !== undefined;) {
    const pageMs = performance.now()
    const page: any = await must(c, 'GET', next)
    slowestPage = Math.max(slowestPage, (performance.now() - pageMs) / 1000)
    nodes.push(...page.nodes)
    next = page.next && page.nodes.length > 0 ? String(page.next).replace(/^https?:\/\/[^/]+/, '') : undefined
  }
  return { nodes, seconds: (performance.now() - startMs) / 1000, slowestPage }
}

const STEPS = [
  ['manage', 'manageable'],
  ['provide', 'available'],
  ['active', 'active'],
  ['deleted', 'available'],
] as const

/** Nodes through manage, provide, active, deleted at once; each goes on as soon as a look shows that it may. */
export async function lifecycle(c: Client, count: number): Promise<number> {
  const at = new Map<string, { step: number; sent: boolean }>()
  for (let i = 0; i < count; i += 1)
    at.set((await must(c, 'POST', '/v1/nodes', nodeBody(i, { name: `life-${i}` }))).uuid as string, {
      step: 0,
      sent: false,
    })
  const send = async (uuid: string, state: { step: number; sent: boolean }) => {
    for (;;) {
      const { status } = await c.call('PUT', `/v1/nodes/${uuid}/states/provision`, { target: STEPS[state.step]?.[0] })
      if (status === 202) return void (state.sent = true)
      if (status !== 409 && status !== 503) throw new Error(`${STEPS[state.step]?.[0]}: ${status}`)
      await systemClock.sleep(100)
    }
  }
  const startMs = performance.now()
  const sending: Promise<void>[] = [...at].map(([uuid, state]) => send(uuid, state))
  while ([...at.values()].some((state) => state.step < STEPS.length)) {
    await systemClock.sleep(100)
    const { nodes } = await listAll(c, '/v1/nodes?fields=uuid,provision_state,last_error&limit=1000')
    for (const { uuid, provision_state: now, last_error: error } of nodes) {
      const state = at.get(String(uuid))
      if (!state?.sent || state.step >= STEPS.length) continue
      if (/failed|error/.test(String(now))) throw new Error(`${uuid}: ${now}: ${error}`)
      if (now !== STEPS[state.step]?.[1]) continue
      state.step += 1
      state.sent = false
      if (state.step < STEPS.length) sending.push(send(String(uuid), state))
    }
    await Promise.race([Promise.all(sending), systemClock.sleep(0)])
  }
  return (performance.now() - startMs) / 1000
}
