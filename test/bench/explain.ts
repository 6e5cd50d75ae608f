/** `npm run bench -- explain [--only nodes | mesh | NAME,...]`: faults are put into virtual servers, and explain must
 *  name the true cause of each first, at the latest a minute after its phase exceeds its usual time. Reference boots,
 *  as many at a time as there are servers later, measure what is usual on this machine; each counts as five. The faults
 *  of a mesh are in explain-mesh.ts. */
import { readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { systemClock } from '../../kit/clock.ts'
import { enroll, provision } from '../lab/journey.ts'
import type { Server, ServerSpec } from '../lab/server.ts'
import { sh } from '../lab/shell.ts'
import { openBench, useTiny, type Bench } from '../rack/setup.ts'
import { BOOT_FAULTS, damage, DEPLOY_FAULTS, type At, type BootFault } from './explain-faults.ts'
import { benchExplainMesh, isNamed, LEAST_SHARE, meshLineOf } from './explain-mesh.ts'
import { MESH_FAULTS } from './explain-mesh-faults.ts'
import { makeOwnSystem, wearOut } from './explain-server.ts'
import { goneAfter } from './in-rack.ts'

const GIB = 1024 ** 3
const MIB = 1024 ** 2
const SPEC = { firmware: 'uefi', card: 'virtio', diskKind: 'virtio', diskBytes: GIB, memoryMb: 1024 } as const
/** After the usual time. */
const REACH_MS = 60_000
const LONGEST_MS = 15 * 60_000
const LOOK_MS = 1_000
const AT_ONCE = 2
const LEAST = 0.95
const CALLED = 'the agent called'

export interface Named {
  readonly name: string
  /** The first cause that explain named, when the true one was first, or when its time was over. */
  readonly cause: string
  /** Of the true cause; 0: it was not named. */
  readonly rank: number
  /** After the moment at which the phase exceeded its usual time; below 0: before it. */
  readonly seconds: number
}

interface Explained {
  readonly since: string
  readonly provision_state: string
  readonly usual: { readonly p95_seconds: number | null } | null
  readonly seen: readonly { readonly what: string }[]
  readonly causes: readonly { readonly cause: string }[]
}

interface Parts {
  readonly bench: Bench
  readonly initrd: string
  readonly ownSystem: string
  readonly say: (line: string) => void
}

/** The true cause is right from here on: a later look must not take it back. */
async function watch(
  { bench, say }: Parts,
  { name, truth, harmless }: Pick<BootFault, 'name' | 'truth' | 'harmless'>,
  onLook: (account: Explained) => Promise<void> = async () => undefined,
): Promise<Named> {
  const begunMs = Date.now()
  let lateMs = begunMs
  for (;;) {
    const account = (await bench.conductor.api.ok('GET', `/rackward/v1/nodes/${name}/explain`)) as unknown as Explained
    const rank = account.causes.findIndex(({ cause }) => truth.test(cause)) + 1
    const [first] = account.causes
    const highMs = (account.usual?.p95_seconds ?? 0) * 1000
    // A state that has no usual time is the end of the one that had.
    if (highMs > 0) lateMs = Date.parse(account.since) + highMs
    const nowMs = Date.now()
    const failed = account.provision_state.endsWith(' failed')
    const wentOn = harmless && account.seen.some(({ what }) => what === CALLED)
    const decided = failed || (harmless ? wentOn : nowMs >= lateMs)
    const named = { name, cause: first?.cause ?? '', rank, seconds: Math.round((nowMs - lateMs) / 1000) }
    await onLook(account)
    // What comes before the usual time is a guess that may change; a failure is the end.
    if (rank === 1 && decided) return named
    const isOver = nowMs > lateMs + REACH_MS && (!harmless || nowMs > begunMs + LONGEST_MS)
    if (isOver || nowMs > begunMs + LONGEST_MS) {
      say(
        `${name}: ${account.causes.map(({ cause }) => cause).join(' | ')}; seen: ${account.seen.map(({ what }) => what).join(', ')}`,
      )
      return named
    }
    await systemClock.sleep(LOOK_MS)
  }
}

async function bootFault(parts: Parts, fault: BootFault, number: number): Promise<Named> {
  const { bench } = parts
  const { api } = bench.conductor
  const server = await bench.rack.addServer({ ...SPEC, ...fault.spec, name: fault.name })
  const ip = `10.77.0.${20 + number}`
  const at: At = { bench, server, ip, initrd: parts.initrd, ownSystem: parts.ownSystem }
  try {
    const own = fault.mac ? { ...server, mac: fault.mac } : server
    await enroll(api, own, fault.node ?? {}, ip)
    await provision(api, fault.name, { target: 'manage' }, { to: 'manageable' })
    await fault.before?.(at)
    await api.ok('PUT', `/v1/nodes/${fault.name}/states/provision`, { target: 'inspect' })
    let toDo = fault.during
    if (toDo && toDo.seen === undefined) await toDo.act(at)
    return await watch(parts, fault, async ({ seen }) => {
      if (toDo?.seen === undefined || !seen.some(({ what }) => what === toDo?.seen)) return
      const { act } = toDo
      toDo = undefined
      await act(at)
    })
  } finally {
    await fault.after?.(at).catch((error: Error) => parts.say(`${fault.name}: ${error.message}`))
    await end(bench, server, fault.name)
  }
}

/** Its guest goes, and those that share its name. */
async function end({ rack, conductor }: Bench, server: Server, node: string): Promise<void> {
  for (const one of rack.servers)
    if (one === server || one.name === `${server.name}-twin`) await rack.cutPower(one).catch(() => undefined)
  await conductor.api.call('PUT', `/v1/nodes/${node}/maintenance`, { reason: 'the measurement is over' })
}

async function referenceBoot({ bench }: Parts, name: string): Promise<void> {
  const server = await bench.rack.addServer({ ...SPEC, name })
  await enroll(bench.conductor.api, server)
  await provision(bench.conductor.api, name, { target: 'manage' }, { to: 'manageable' })
  await provision(bench.conductor.api, name, { target: 'inspect' }, { to: 'manageable' })
  await end(bench, server, name)
}

/** As many at a time as there are servers with faults. */
async function reference(parts: Parts): Promise<void> {
  const { bench, say } = parts
  const beganMs = Date.now()
  await Promise.all(Array.from({ length: AT_ONCE }, (_, i) => referenceBoot(parts, `reference-${i + 1}`)))
  say(`a boot into the ramdisk and an inspection take ${Math.round((Date.now() - beganMs) / 1000)} s here`)
  const db = new Database(join(bench.rack.dir, 'data/rackward.db'), { timeout: 10_000 })
  const copy = db.prepare('INSERT INTO durations (model, state, took_ms) VALUES (?, ?, ?)')
  const rows = db.prepare('SELECT model, state, took_ms AS tookMs FROM durations').all() as {
    model: string
    state: string
    tookMs: number
  }[]
  db.transaction(() => {
    for (const { model, state, tookMs } of rows) for (let i = 0; i < 4; i += 1) copy.run(model, state, tookMs)
  })()
  db.close()
}

/** One server whose agent is parked meets one fault after the other. */
async function deployFaults(parts: Parts, names: ReadonlySet<string>): Promise<Named[]> {
  const wanted = DEPLOY_FAULTS.filter(({ name }) => names.has(name))
  if (wanted.length === 0) return []
  const { bench } = parts
  const { api } = bench.conductor
  const spec: ServerSpec = { ...SPEC, name: 'disks', moreDisks: [128 * MIB, GIB] }
  const server = await bench.rack.addServer(spec)
  await wearOut(server, 2)
  const image = await useTiny(bench, 'tiny', { dataMib: 16, totalMib: 256 })
  await enroll(api, server, { automated_clean: false })
  for (const [target, to] of [
    ['manage', 'manageable'],
    ['inspect', 'manageable'],
    ['provide', 'available'],
  ] as const)
    await provision(api, 'disks', { target }, { to })
  const results: Named[] = []
  for (const fault of wanted) {
    const info = { image_source: image, root_device: { serial: `disks-d${fault.disk}` } }
    await api.ok('PATCH', '/v1/nodes/disks', [{ op: 'replace', path: '/instance_info', value: info }])
    const undo = fault.damagesImage ? await damage(bench.store.dataPath(image)) : async () => undefined
    try {
      await api.ok('PUT', '/v1/nodes/disks/states/provision', { target: 'active' })
      const named = await watch({ ...parts }, { ...fault, name: 'disks' })
      results.push({ ...named, name: fault.name })
    } finally {
      await undo()
    }
  }
  await end(bench, server, 'disks')
  return results
}

/** Two at a time; what changes something for all goes alone. */
async function bootFaults(parts: Parts, faults: readonly BootFault[], tell: (named: Named) => void): Promise<void> {
  const numbers = new Map(BOOT_FAULTS.map((fault, i) => [fault, i + 1]))
  const one = async (fault: BootFault) =>
    tell(
      await bootFault(parts, fault, numbers.get(fault) ?? 0).catch((error: Error) => {
        parts.say(`${fault.name}: ${error.message}`)
        return { name: fault.name, cause: error.message, rank: 0, seconds: 0 }
      }),
    )
  const together = faults.filter(({ alone }) => !alone)
  const lane = async () => {
    for (let fault = together.shift(); fault; fault = together.shift()) await one(fault)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, lane))
  for (const fault of faults.filter(({ alone }) => alone)) await one(fault)
}

const lineOf = ({ name, cause, rank, seconds }: Named): string =>
  `${rank === 1 ? 'ok ' : 'NOT'} ${name.padEnd(24)} rank ${rank || '-'}  ${String(seconds).padStart(4)} s  ${cause}`

async function open(say: (line: string) => void): Promise<Parts> {
  const bench = await openBench('expl', {
    callbackTimeoutSeconds: 1_800,
    agentSilenceSeconds: 60,
    powerTimeoutSeconds: 60,
  })
  // The file that is taken away is a link of ours.
  const config = await readFile(bench.conductor.configFile, 'utf8')
  const [, initrd = ''] = /^\s+initrd: (\S+)$/m.exec(config) ?? []
  const link = join(bench.rack.dir, 'initrd')
  await symlink(initrd, link)
  await writeFile(bench.conductor.configFile, config.replace(initrd, link))
  const ownSystem = join(bench.rack.dir, 'own-system.raw')
  await makeOwnSystem(ownSystem, bench.kernel)
  const table = ['add table inet faults', 'add chain inet faults in { type filter hook input priority 0; }']
  await sh(bench.rack.in(['nft', table.join('; ')]))
  return { bench, initrd: link, ownSystem, say }
}

/** The faults in virtual servers. */
export async function benchExplainNodes(
  wanted: ReadonlySet<string>,
  say: (line: string) => void,
): Promise<{ results: Named[]; right: number }> {
  const parts = await open(say)
  const results: Named[] = []
  const tell = (named: Named) => {
    results.push(named)
    say(lineOf(named))
  }
  await goneAfter(parts.bench.rack, async () => {
    await parts.bench.conductor.start()
    await reference(parts)
    await bootFaults(
      parts,
      BOOT_FAULTS.filter(({ name }) => wanted.has(name)),
      tell,
    )
    for (const named of await deployFaults(parts, wanted)) tell(named)
  })
  const right = results.filter(({ rank, seconds }) => rank === 1 && seconds * 1000 <= REACH_MS).length
  return { results, right }
}

/** Which faults a run injects: `nodes`, `mesh`, or names of either half; all without `only`. */
function chosen(only: string | undefined): { nodes: Set<string>; mesh: Set<string> } {
  const halves = {
    nodes: [...BOOT_FAULTS, ...DEPLOY_FAULTS].map(({ name }) => name),
    mesh: MESH_FAULTS.map(({ name }) => name),
  }
  const all = [...halves.nodes, ...halves.mesh]
  const names = (only?.split(',') ?? ['nodes', 'mesh']).flatMap((name) =>
    name === 'nodes' || name === 'mesh' ? halves[name] : [name],
  )
  const unknown = names.find((name) => !all.includes(name))
  if (unknown !== undefined) throw new Error(`there is no fault ${unknown}; there are nodes, mesh, ${all.join(', ')}`)
  const wanted = new Set(names)
  return {
    nodes: new Set(halves.nodes.filter((name) => wanted.has(name))),
    mesh: new Set(halves.mesh.filter((name) => wanted.has(name))),
  }
}

export async function benchExplain(at: {
  readonly only?: string | undefined
  readonly json: boolean
  readonly say: (line: string) => void
}): Promise<void> {
  const { nodes, mesh } = chosen(at.only)
  const lines: string[] = []
  const report: Record<string, unknown> = {}
  if (nodes.size > 0) {
    const { results, right } = await benchExplainNodes(nodes, at.say)
    Object.assign(report, { right, of: results.length, faults: results })
    lines.push(...results.map(lineOf), `${right} of ${results.length} named first in time`)
    if (right < Math.ceil(LEAST * results.length)) process.exitCode = 1
  }
  if (mesh.size > 0) {
    const faults = await benchExplainMesh(mesh, at.say)
    const right = faults.filter(isNamed).length
    report.mesh = { right, of: faults.length, faults }
    lines.push(
      ...faults.map(meshLineOf),
      `mesh: ${right} of ${faults.length} named first, while they last and afterwards`,
    )
    if (right < Math.ceil(LEAST_SHARE * faults.length)) process.exitCode = 1
  }
  process.stdout.write(at.json ? `${JSON.stringify(report)}\n` : `${lines.join('\n')}\n`)
}
