/** `npm run bench -- mesh [--kills N] [--json]`: real kills of real hosts (namespaces, Consul, ipmi_sim), what an agent
 *  costs, and what it sends at 10, 100 and 1,000 hosts. Beside it what others take at their defaults, from their
 *  documents and code: nothing of them runs here. */
import { readFile } from 'node:fs/promises'
import { systemClock, until } from '../../kit/clock.ts'
import { encode } from '../../host-agent/protocol/datagram.ts'
import { Membership } from '../../host-agent/probe/membership.ts'
import type { Member } from '../../host-agent/protocol/heartbeat.ts'
import { LIMITS } from '../../host-agent/protocol/limits.ts'
import { targetsOf } from '../../host-agent/protocol/observers.ts'
import { MeshLab, type LabNode } from '../mesh/lab.ts'

/** Seconds from the failure to the first move, at defaults: reference figures, by arithmetic over their own waits. */
const OTHERS = [
  ['Masakari, consul driver', '190 to 260', 'no fence'],
  ['Masakari, pacemaker driver', '240 to 360', 'fence by Pacemaker'],
  ['Red Hat instanceha', '30 to 110', 'fence verified'],
  ['Proxmox VE', '120', 'self-fence by watchdog'],
  ['VMware HA', '20 to 40', 'disk locks'],
  ['Kubernetes, volumes that attach once', '660 to 720', 'no fence'],
] as const

/** How long CPU time is counted. */
const WINDOW_MS = 20_000

interface Kill {
  readonly how: string
  readonly confirmedMs: number
  readonly fencedMs: number
  readonly evacuatingMs: number
}

export async function benchMesh(args: { kills: number; json: boolean; say: (line: string) => void }): Promise<void> {
  const lab = await MeshLab.up({ hosts: 7, arbiters: 3, racks: 3 })
  try {
    await lab.api('PUT', '/rackward/v1/mesh/policy', {
      armed: true,
      why: 'bench',
      limits: { fenceShare: 1, fenceCap: 10_000, fenceWindowMs: 1_000, cooldownMs: 1_000, flaps: 10_000, hops: 10_000 },
    })
    await well(lab)
    for (const host of lab.hosts) for (const n of [1, 2]) await lab.addInstance(`${host.name}-vm${n}`, host)
    const cost = await agentCost(lab)
    const kills: Kill[] = []
    for (let i = 0; i < args.kills; i += 1) {
      const host = lab.hosts[i % lab.hosts.length] as LabNode
      const kill = await killOne(lab, host, i % 2 === 0 ? 'cutPower' : 'hang')
      kills.push(kill)
      args.say(
        `${i + 1}/${args.kills} ${host.name} ${kill.how}: confirmed ${kill.confirmedMs} ms, fenced ${kill.fencedMs} ms, first move ${kill.evacuatingMs} ms`,
      )
      await lab.powerOn(host)
      await well(lab)
    }
    const of = (key: 'confirmedMs' | 'fencedMs' | 'evacuatingMs') => {
      const sorted = kills.map((kill) => kill[key]).sort((a, b) => a - b)
      const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? null
      return { p50: at(0.5), p99: at(0.99), max: sorted.at(-1) ?? null }
    }
    const result = {
      kills: kills.length,
      latencyMs: { confirmed: of('confirmedMs'), fenced: of('fencedMs'), evacuating: of('evacuatingMs') },
      agent: cost,
      traffic: [10, 100, 1_000].map(traffic),
      others: OTHERS.map(([name, firstMoveSeconds, fence]) => ({ name, firstMoveSeconds, fence })),
    }
    if (args.json) return void process.stdout.write(`${JSON.stringify(result)}\n`)
    const row = (name: string, one: { p50: number | null; p99: number | null; max: number | null }) =>
      `${name.padEnd(38)}${[one.p50, one.p99, one.max].map((ms) => ((ms ?? 0) / 1000).toFixed(1).padStart(8)).join('')}`
    process.stdout.write(
      `${[
        `${`seconds from the death, ${kills.length} kills`.padEnd(38)}     p50     p99     max`,
        row('confirmed', result.latencyMs.confirmed),
        row('fenced', result.latencyMs.fenced),
        row('first instance asked for', result.latencyMs.evacuating),
        '',
        'others, first move at their defaults (their documents and code; not run here)',
        ...OTHERS.map(([name, seconds, fence]) => `  ${name.padEnd(36)}${`${seconds} s`.padStart(14)}   ${fence}`),
        '',
        `agent of a host     ${cost.host.cpuPercent.toFixed(1)} % of a core, ${cost.host.memoryMb.toFixed(0)} MB`,
        `agent of an arbiter ${cost.arbiter.cpuPercent.toFixed(1)} % of a core, ${cost.arbiter.memoryMb.toFixed(0)} MB (7 hosts)`,
        ...result.traffic.map(
          ({ hosts, sentBytesPerSecond, receivedByArbiterBytesPerSecond }) =>
            `at ${String(hosts).padStart(5)} hosts: a host sends ${kb(sentBytesPerSecond)}/s, an arbiter receives ${kb(receivedByArbiterBytesPerSecond)}/s (computed)`,
        ),
      ].join('\n')}\n`,
    )
  } finally {
    await lab.down()
  }
}

const kb = (bytes: number) => `${(bytes / 1000).toFixed(1)} kB`

const well = (lab: MeshLab) =>
  until(
    async () =>
      ((await lab.status().catch(() => undefined))?.hosts as { state: string; gate: string }[] | undefined)?.every(
        ({ state, gate }) => state === 'healthy' && gate === 'open',
      ),
    { what: 'all hosts to be well', timeoutMs: 90_000, everyMs: 300 },
  )

/** From the moment that it is dead to the moments in the incident's time line; one machine, one clock. */
async function killOne(lab: MeshLab, host: LabNode, how: 'cutPower' | 'hang'): Promise<Kill> {
  const known = new Set(
    ((await lab.api('GET', '/rackward/v1/incidents')).incidents as { id: string }[]).map(({ id }) => id),
  )
  const atMs = Date.now()
  await lab[how](host)
  const incident = await until(
    async () =>
      ((await lab.api('GET', '/rackward/v1/incidents').catch(() => ({ incidents: [] }))).incidents as any[]).find(
        (one) => !known.has(one.id) && one.host === host.name && one.state === 'evacuated',
      ),
    { what: `${host.name} to be evacuated`, timeoutMs: 60_000, everyMs: 200 },
  )
  const line = (pattern: RegExp) =>
    Date.parse(
      (incident.time_line as { at: string; message: string }[]).find(({ message }) => pattern.test(message))?.at ?? '',
    ) - atMs
  return { how, confirmedMs: line(/^confirmed/), fencedMs: line(/^fenced/), evacuatingMs: line(/: asked for/) }
}

/** Over twenty seconds of rest: CPU of the process and its proportional memory. */
async function agentCost(lab: MeshLab) {
  const pidOf = async (node: LabNode) => {
    for (const pid of await lab.pids(node))
      if (/main\.js\0agent/.test(await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => ''))) return pid
    throw new Error(`no agent in ${node.name}`)
  }
  const ticks = async (pid: number) => {
    const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).replace(/^.*\) /, '').split(' ')
    return Number(fields[11]) + Number(fields[12])
  }
  const memory = async (pid: number) =>
    Number(/^Pss:\s+(\d+)/m.exec(await readFile(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1] ?? 0) / 1024
  const one = async (node: LabNode) => {
    const pid = await pidOf(node)
    const before = await ticks(pid)
    await systemClock.sleep(WINDOW_MS)
    return {
      cpuPercent: (await ticks(pid)) - before > 0 ? ((await ticks(pid)) - before) / (WINDOW_MS / 1000) : 0,
      memoryMb: await memory(pid),
    }
  }
  const [host, arbiter] = await Promise.all([one(lab.hosts[0] as LabNode), one(await lab.leader())])
  return { host, arbiter }
}

/** Real datagrams of a mesh of that size, with their codes and the headers of UDP and IPv4. */
function traffic(hosts: number) {
  const members: Member[] = [
    ...Array.from({ length: hosts }, (_, i) => ({
      name: `host-${i}`,
      role: 'host' as const,
      rack: `r${i % 20}`,
      planes: ['management', 'storage', 'tenant'] as const,
      writesStorageHeartbeat: true,
    })),
    ...Array.from({ length: 3 }, (_, i) => ({
      name: `arbiter-${i}`,
      role: 'arbiter' as const,
      rack: null,
      planes: ['management', 'storage', 'tenant'] as const,
      writesStorageHeartbeat: false,
    })),
  ]
  const self = {
    state: 'member' as const,
    lagMs: 3,
    storageLost: false,
    guests: 20,
    consents: false,
    gate: 'open' as const,
    watchdogMs: 10_000,
  }
  const core = new Membership({
    name: 'host-0',
    bootId: '00000000-0000-4000-8000-000000000000',
    self,
    nowMs: 0,
    firstSeq: 1_000_000,
  })
  core.setMembers(members)
  const overhead = 16 + 28
  const nonce = Buffer.alloc(9).toString('base64url')
  const probe = encode('host-0', 'management', { type: 'probe', nonce }).length + overhead
  core.probe(
    () => nonce,
    0,
    (peer, plane) => core.onProbeReply({ peer, plane, nonce }, 20),
  )
  const heartbeat =
    encode('host-0', 'management', { type: 'heartbeat', heartbeat: core.heartbeat(100) }).length + overhead
  const probesPerSecond = (targetsOf('host-0', members).length * 3 * 1000) / LIMITS.probeMs
  const digestsPerSecond = (1000 / LIMITS.heartbeatMs) * 3 * 3
  return {
    hosts,
    // It probes, and answers as many.
    sentBytesPerSecond: Math.round(probesPerSecond * probe * 2 + digestsPerSecond * heartbeat),
    receivedByArbiterBytesPerSecond: Math.round((hosts * digestsPerSecond * heartbeat) / 3),
  }
}
