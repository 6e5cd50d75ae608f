/** /rackward/v1/board: every server at a glance, and how far each has come; and the phases of one. */
import { createHash } from 'node:crypto'
import { isoTime, turn, type Clock } from '../../kit/clock.ts'
import { gzipOf, pack, type Packed } from '../../kit/gzip.ts'
import { boardNode, phaseOf, racksOf, type BoardNode } from '../node/query/board.ts'
import { comparedOf, isTimed } from '../node/query/usual.ts'
import { pastTimes } from '../node/run/past-times.ts'
import { NO_PAST } from '../node/policy/usual-time.ts'
import type { Sightings } from '../node/query/sightings.ts'
import type { NodeRecord } from '../node/record.ts'
import type { Compared } from '../store/durations.ts'
import type { Store } from '../store/port.ts'
import { standing } from './access.ts'
import type { Actor } from './auth.ts'
import { BoardCache } from './board-cache.ts'
import { Board, Phases } from './board-schemas.ts'
import { nodeOf } from './nodes/routes.ts'
import type { ApiRequest, DescribedRoute, RouteParts } from './route.ts'
import { veilNode } from './veil.ts'

export interface BoardParts extends RouteParts {
  readonly clock: Clock
  readonly monotonic: Clock
}

/** Events that are looked through for unknown MACs. */
const STRANGERS = 500
const MAX_STRANGERS = 50
/** Everybody else has a turn after so long: right after a start, a node takes ten times as long as later. */
const TURN_MS = 5
const MAX_PHASES = 60

/** Text, because ten thousand servers are some megabytes of JSON: they are written once for all who look. */
interface Made {
  readonly seq: number
  /** JSON without the two first members and the first brace. */
  readonly rest: Buffer
  /** For who takes it: a tenth of the bytes or less. */
  readonly packed: () => Promise<Packed>
  /** A weak one: the time of the answer stands in it, too, and it may be compressed. */
  readonly etag: string
}

export function boardRoutes(parts: BoardParts): DescribedRoute[] {
  const { store, clock, monotonic } = parts
  const boards = new BoardCache<Made>(monotonic)
  /** One for all users that see the same nodes in the same words. */
  const madeFor = (actor: Actor, sightings: Sightings): Promise<Made> =>
    boards.get(JSON.stringify(actor.project), () => make(actor, sightings))
  return [
    {
      method: 'get',
      path: '/rackward/v1/board',
      role: 'reader',
      answer: Board,
      summary: 'every server at a glance: its place, state, progress and what it waits for; with an ETag',
      async handle({ actor, view, httpRequest, httpResponse }) {
        const { seq, rest, packed, etag } = await madeFor(actor, view.sightings)
        httpResponse.setHeader('ETag', etag)
        httpResponse.setHeader('Cache-Control', 'private, no-cache')
        if (httpRequest.get('if-none-match') === etag) return void httpResponse.status(304).end()
        httpResponse.setHeader('Content-Type', 'application/json; charset=utf-8')
        httpResponse.vary('Accept-Encoding')
        const isPacked = httpRequest.acceptsEncodings('gzip', 'identity') === 'gzip'
        if (isPacked) httpResponse.setHeader('Content-Encoding', 'gzip')
        const behind = isPacked ? await packed() : undefined
        const first = Buffer.from(`{"seq":${seq},"now":${JSON.stringify(isoTime(clock.now()))},`)
        const pieces = behind ? gzipOf(first, behind) : [first, rest]
        httpResponse.setHeader(
          'Content-Length',
          pieces.reduce((sum, { length }) => sum + length, 0),
        )
        for (const piece of pieces) httpResponse.write(piece)
        httpResponse.end()
      },
    },
    {
      method: 'get',
      path: '/rackward/v1/nodes/:ident/phases',
      role: 'reader',
      answer: Phases,
      summary: 'the states that a node went through, how long it was in each, and how long that usually takes',
      handle: async (request) => ({ body: { phases: await phases(request) } }),
    },
  ]

  async function make(actor: Actor, sightings: Sightings): Promise<Made> {
    const { project } = actor
    // First: what happens while the board is made comes again, and is never missed.
    const seq = await store.journal.lastSeq()
    const seen = (await store.everyNode()).filter((node) => standing(actor, node) !== 'none')
    const pastOf = pastTimes(store.journal)
    const shownNode = async (node: NodeRecord): Promise<BoardNode> => {
      const shown = standing(actor, node) === 'lessee' ? veilNode(node) : node
      const past = isTimed(node.provisionState) ? await pastOf(comparedOf(node)) : NO_PAST
      return boardNode(shown, { live: sightings.look(node.uuid), nowMs: clock.now(), past })
    }
    const nodes: BoardNode[] = []
    const text: Buffer[] = []
    const hash = createHash('sha256')
    for (let next = 0; next < seen.length; await turn()) {
      const endMs = monotonic.now() + TURN_MS
      const slice: string[] = []
      do {
        const node = await shownNode(seen[next] as NodeRecord)
        nodes.push(node)
        slice.push(`${next === 0 ? '' : ','}${JSON.stringify(node)}`)
        next += 1
      } while (next < seen.length && monotonic.now() < endMs)
      const bytes = Buffer.from(slice.join(''))
      text.push(bytes)
      hash.update(bytes)
    }
    const told: Omit<Board, 'seq' | 'now' | 'nodes'> = {
      racks: racksOf(nodes),
      unknown_macs: project === null ? await unknownMacs(store, seq) : [],
    }
    const last = Buffer.from(`],${JSON.stringify(told).slice(1)}`)
    const rest = Buffer.concat([Buffer.from('"nodes":['), ...text, last])
    let asked: Promise<Packed> | undefined
    const packed = () => (asked ??= pack(rest))
    return { seq, rest, packed, etag: `W/"${hash.update(last).digest('base64url')}"` }
  }

  async function phases(request: ApiRequest): Promise<Phases['phases']> {
    const node: NodeRecord = await nodeOf(parts, request)
    const { project } = request.actor
    const only = { kinds: ['state'], ...(project === null ? {} : { project }) }
    const left = await store.journal.ofNode(node.uuid, MAX_PHASES, only)
    const pastOf = pastTimes(store.journal)
    const nowMs = clock.now()
    const past = left.toReversed().map(async ({ atMs, detail }) => {
      const state = String(detail.from)
      const at = { state, beganMs: atMs - Number(detail.tookMs ?? 0), endedMs: atMs, nowMs }
      return phaseOf(at, await pastOf(comparedThen(detail)))
    })
    const now = {
      state: node.provisionState,
      beganMs: node.provisionUpdatedAtMs ?? node.createdAtMs,
      endedMs: null,
      nowMs,
    }
    return [...(await Promise.all(past)), phaseOf(now, await pastOf(comparedOf(node)))]
  }
}

/** What the state was compared by that a node left, as its event says. */
function comparedThen({ model, from, work, firmware, image }: Readonly<Record<string, unknown>>): Compared {
  const text = (value: unknown) => (typeof value === 'string' ? value : null)
  return { model: String(model), state: String(from), work: text(work), firmware: text(firmware), image: text(image) }
}

async function unknownMacs({ journal }: Pick<Store, 'journal'>, seq: number): Promise<Board['unknown_macs']> {
  const events = await journal.after(Math.max(0, seq - STRANGERS), { kinds: ['unknown-mac'] }, STRANGERS)
  const found = new Map<string, Board['unknown_macs'][number]>()
  for (const { atMs, detail } of events) {
    const mac = String(detail.mac)
    const controller = typeof detail.controller === 'string' ? { controller: detail.controller } : {}
    found.set(mac, { mac, count: (found.get(mac)?.count ?? 0) + 1, at: isoTime(atMs), ...controller })
  }
  return [...found.values()].slice(-MAX_STRANGERS).toReversed()
}
