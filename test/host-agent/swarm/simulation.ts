/** A rack that images itself, simulated: the tracker and the plans of the nodes as they are shipped, over a network in
 *  which each uplink and each downlink carries one piece after another. One seed, one result; time is in milliseconds
 *  of the simulation. */
import { Tracker } from '../../../conductor/agents/swarm/tracker.ts'
import { SEED, SwarmPlan, type Ask } from '../../../host-agent/deploy/swarm/plan.ts'
import { EventQueue, numbers } from './events.ts'

export interface Scene {
  readonly nodes: number
  readonly pieces: number
  readonly pieceBytes: number
  /** Bytes per second. */
  readonly nodeLink: number
  readonly seedLink: number
  readonly rackSize?: number
  readonly seed?: number
  /** One of so many has a tenth of the link. */
  readonly slowEvery?: number
  /** One of so many vanishes somewhere in the first half of the transfer; others notice after `noticeMs`. */
  readonly dieEvery?: number
  readonly noticeMs?: number
  /** One of so many sends wrong bytes, always. */
  readonly lieEvery?: number
  readonly joinMs?: number
  /** The last node joins when the others have so much of the image. */
  readonly lateJoin?: number
  /** The image server answers nothing more once the nodes together hold so many copies of the image per node. */
  readonly seedDiesAt?: number
  readonly trackerDiesAt?: number
}

export interface Outcome {
  /** When each node had all; undefined: it died, or never had. */
  readonly doneMs: readonly (number | undefined)[]
  readonly slow: ReadonlySet<number>
  readonly dead: ReadonlySet<number>
  readonly seedBytes: number
  /** Bytes that came from another rack, the image server aside. */
  readonly crossBytes: number
  readonly wastedBytes: number
  /** Wrong pieces that were taken for right. */
  readonly poisoned: number
  readonly mostUploads: number
}

const RTT_MS = 0.5
const HAVE_MS = 100
const END_MS = 20 * 60_000
const IMAGE = 'a'.repeat(64)
const KEY = Buffer.alloc(32)

interface Node {
  readonly id: string
  readonly rack: string
  readonly plan: SwarmPlan
  readonly held: number[]
  readonly link: number
  readonly watchers: Set<Node>
  readonly sources: Map<string, Node>
  /** What it is asked for; the first is being sent. */
  readonly queue: { readonly to: Node; readonly ask: Ask }[]
  downFreeMs: number
  joined: boolean
  isDead: boolean
  told: number
  doneMs: number | undefined
  readonly isSlow: boolean
  readonly isLiar: boolean
  readonly bad: string[]
}

const uuid = (number: number): string => `00000000-0000-4000-8000-${number.toString(16).padStart(12, '0')}`

export function simulate(scene: Scene): Outcome {
  const random = numbers(scene.seed ?? 1)
  const queue = new EventQueue()
  const tracker = new Tracker({ fromNodes: 3, members: 100_000 }, random)
  const { pieces, pieceBytes, rackSize = 40, noticeMs = 3_000 } = scene
  const every = (n: number | undefined) => n !== undefined && random() < 1 / n
  const nodes = Array.from({ length: scene.nodes }, (_, i): Node => {
    const isSlow = every(scene.slowEvery)
    return {
      id: uuid(i),
      rack: String(Math.floor(i / rackSize)),
      plan: new SwarmPlan({ pieces, wanted: Array.from({ length: pieces }, (_, n) => n), random }),
      held: [],
      watchers: new Set(),
      sources: new Map(),
      bad: [],
      queue: [],
      downFreeMs: 0,
      joined: false,
      isDead: false,
      told: 0,
      doneMs: undefined,
      link: isSlow ? scene.nodeLink / 10 : scene.nodeLink,
      isSlow,
      isLiar: every(scene.lieEvery),
    }
  })
  const byId = new Map(nodes.map((node) => [node.id, node]))
  const seen = { seedFreeMs: 0, seedBytes: 0, crossBytes: 0, wastedBytes: 0, poisoned: 0, held: 0, mostUploads: 0 }
  const last = nodes.at(-1)
  let nowMs = 0
  let open = nodes.length

  const isSeedDead = () => scene.seedDiesAt !== undefined && seen.held >= scene.seedDiesAt * pieces * scene.nodes
  const isTrackerDead = () => scene.trackerDiesAt !== undefined && nowMs >= scene.trackerDiesAt

  const join = (node: Node) => {
    node.joined = true
    callTracker(node)
  }
  const callTracker = (node: Node) => {
    if (node.isDead || node.doneMs !== undefined) return
    const call = { nodeUuid: node.id, imageId: IMAGE, generation: 1, ip: '10.0.0.1', rack: node.rack }
    const said = isTrackerDead()
      ? undefined
      : tracker.call({ ...call, port: 1, bad: node.bad, unreachable: [] }, () => KEY, nowMs)
    for (const { member, isNear } of said?.neighbours ?? []) connect(node, byId.get(member.nodeUuid), isNear)
    if (said) node.plan.grant(said.seed ?? undefined)
    queue.at(nowMs + (said?.againMs ?? 2_000), () => callTracker(node))
    act(node)
  }
  const connect = (node: Node, peer: Node | undefined, isNear: boolean) => {
    if (!peer || peer.isDead || peer.doneMs !== undefined || !node.plan.joined(peer.id, isNear)) return
    node.sources.set(peer.id, peer)
    peer.watchers.add(node)
    node.plan.has(peer.id, peer.held.slice(0, peer.told))
  }

  const tick = (node: Node) => {
    if (node.isDead || node.doneMs !== undefined) return
    act(node)
    queue.at(nowMs + 500, () => tick(node))
  }
  const act = (node: Node) => {
    if (!node.joined || node.isDead || node.doneMs !== undefined) return
    for (const ask of node.plan.next(nowMs)) send(node, ask)
  }
  const send = (node: Node, ask: Ask) => {
    if (ask.from === SEED) {
      if (isSeedDead()) {
        queue.at(nowMs + 100, () => node.plan.seedFailed(ask.piece, nowMs + 2_000))
        return
      }
      seen.seedFreeMs = Math.max(seen.seedFreeMs, nowMs + RTT_MS) + (pieceBytes / scene.seedLink) * 1000
      seen.seedBytes += pieceBytes
      return deliver(node, ask, seen.seedFreeMs)
    }
    const peer = node.sources.get(ask.from)
    if (!peer || peer.isDead) return
    if (peer.rack !== node.rack) seen.crossBytes += pieceBytes
    peer.queue.push({ to: node, ask })
    seen.mostUploads = Math.max(seen.mostUploads, peer.queue.length)
    if (peer.queue.length === 1) upload(peer)
  }
  const upload = (peer: Node) => {
    const [first] = peer.queue
    if (!first) return
    const sentMs = nowMs + RTT_MS + (pieceBytes / peer.link) * 1000
    deliver(first.to, first.ask, sentMs)
    queue.at(sentMs, () => {
      peer.queue.shift()
      upload(peer)
    })
  }
  /** What is being sent goes on; what waits is not sent. */
  const cancel = (node: Node, ask: Ask) => {
    const waiting = byId.get(ask.from)?.queue
    const at = waiting?.findIndex(({ to, ask: one }, i) => i > 0 && to === node && one.piece === ask.piece) ?? -1
    if (at < 0) return
    waiting?.splice(at, 1)
    node.plan.cancelled(ask)
  }
  const deliver = (node: Node, ask: Ask, sentMs: number) => {
    queue.at(sentMs, () => {
      node.downFreeMs = Math.max(sentMs, node.downFreeMs + (pieceBytes / node.link) * 1000)
      queue.at(node.downFreeMs, () => take(node, ask))
    })
  }
  const take = (node: Node, ask: Ask) => {
    const peer = byId.get(ask.from)
    if (node.isDead || node.doneMs !== undefined) return
    // Whoever left or died meanwhile has sent nothing.
    if (peer && !node.sources.has(peer.id)) return
    if (peer?.isDead) return
    if (peer?.isLiar) {
      node.sources.delete(peer.id)
      peer.watchers.delete(node)
      node.plan.lied(peer.id)
      node.bad.push(peer.id)
      seen.wastedBytes += pieceBytes
      return act(node)
    }
    const taken = node.plan.arrived(ask, nowMs)
    for (const from of taken.cancel) cancel(node, { piece: ask.piece, from })
    if (taken.isNew) keep(node, ask.piece)
    else seen.wastedBytes += pieceBytes
    act(node)
  }
  const keep = (node: Node, piece: number) => {
    node.held.push(piece)
    seen.held += 1
    if (node.held.length === 1 || node.told === node.held.length - 1) queue.at(nowMs + HAVE_MS, () => tell(node))
    if (node.plan.left > 0) return
    node.doneMs = nowMs
    open -= 1
    tracker.leave(node.id)
    tell(node)
    // It reads its disk back before it leaves.
    queue.at(nowMs + ((pieces * pieceBytes) / (4 * node.link)) * 1000, () => leave(node))
  }
  const tell = (node: Node) => {
    const news = node.held.slice(node.told)
    node.told = node.held.length
    for (const watcher of node.watchers) {
      watcher.plan.has(node.id, news)
      act(watcher)
    }
  }
  const leave = (node: Node) => {
    for (const watcher of node.watchers) {
      watcher.plan.departed(node.id)
      watcher.sources.delete(node.id)
      act(watcher)
    }
    node.watchers.clear()
  }
  const die = (node: Node) => {
    if (node.doneMs !== undefined) return
    node.isDead = true
    open -= 1
    queue.at(nowMs + noticeMs, () => leave(node))
  }

  const idealMs = ((pieces * pieceBytes) / scene.nodeLink) * 1000
  for (const node of nodes) {
    const isLate = scene.lateJoin !== undefined && node === last
    if (!isLate) queue.at(random() * (scene.joinMs ?? 2_000), () => (join(node), tick(node)))
    if (every(scene.dieEvery)) queue.at(1_000 + random() * idealMs * 0.5, () => die(node))
  }
  if (scene.lateJoin !== undefined && last) {
    const share = scene.lateJoin
    const wait = () =>
      seen.held >= share * pieces * (scene.nodes - 1) ? (join(last), tick(last)) : queue.at(nowMs + 20, wait)
    queue.at(0, wait)
  }
  while (open > 0 && nowMs < END_MS) {
    const event = queue.take()
    if (!event) break
    nowMs = event.atMs
    event.run()
  }
  return {
    doneMs: nodes.map(({ doneMs }) => doneMs),
    slow: new Set(nodes.flatMap(({ isSlow }, i) => (isSlow ? [i] : []))),
    dead: new Set(nodes.flatMap(({ isDead }, i) => (isDead ? [i] : []))),
    ...seen,
  }
}

/** When the last of the nodes that are neither slow nor dead had all. */
export const lastFastMs = ({ doneMs, slow, dead }: Outcome): number =>
  Math.max(...doneMs.flatMap((ms, i) => (slow.has(i) || dead.has(i) ? [] : [ms ?? Number.POSITIVE_INFINITY])))
