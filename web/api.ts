/** Requests to the conductor. An answer that is an error becomes an `ApiError` with the text of the conductor. */
import type { Acts, Board, ImageList, Me, Phases } from '../conductor/api/board-schemas.ts'
import type { AdmissionView } from '../conductor/api/admission-schemas.ts'
import type { ImageOfNode } from '../conductor/api/image-series-schemas.ts'
import type { DoubtView } from '../conductor/api/store-schemas.ts'
import type { TpmView } from '../conductor/api/tpm-schemas.ts'
import { after } from './browser.ts'
import type { MeshNews } from './mesh-api.ts'

export type { Acts, AdmissionView, Board, DoubtView, ImageList, Me, Phases, TpmView }
export type Act = Acts['acts'][number]
export type BoardNode = Board['nodes'][number]

export class ApiError extends Error {
  readonly status: number
  /** The code of the fault, such as "mesh.member"; empty: none came. */
  readonly fault: string

  constructor(status: number, message: string, fault = '') {
    super(message)
    this.status = status
    this.fault = fault
  }
}

export interface WireEvent {
  readonly seq: number
  readonly at: string
  readonly kind: string
  readonly node_uuid: string | null
  readonly detail: Readonly<Record<string, unknown>>
}

/** What is true now and is not kept (conductor/events/live.ts). */
export interface LiveNews {
  readonly progress?: readonly {
    readonly node: string
    readonly state: string
    readonly progress: BoardNode['progress']
  }[]
  readonly mesh?: MeshNews
}

interface SeenPort {
  readonly uuid: string
  readonly address: string
  readonly card: string | null
  readonly switch_port: {
    readonly circuit_id: string | null
    readonly remote_id: string | null
    readonly relay: string | null
  } | null
  readonly loader: { readonly file: string; readonly worked: boolean; readonly silent: readonly string[] } | null
}

/** What a node was deployed with. */
export type GivenImage = NonNullable<ImageOfNode['image']>

/** What `rackward node explain` says. */
export interface Account {
  readonly description: string
  readonly waits_for: string
  readonly since: string
  readonly deadline: string | null
  readonly lock: {
    readonly holder: string
    readonly reason: string
    readonly pending_effects: readonly string[]
    readonly tries: number
  } | null
  readonly left_seconds?: number | null
  readonly seen: readonly { readonly what: string; readonly at: string; readonly detail: string }[]
  readonly ports: readonly SeenPort[]
  readonly drift: readonly {
    readonly what: string
    readonly name: string
    readonly applied: string
    readonly now: string | null
    readonly since: string | null
  }[]
  readonly erased: {
    readonly at: string
    readonly step: string
    readonly disks: readonly {
      readonly disk: string
      readonly serial?: string | null
      readonly description: string
    }[]
  } | null
  readonly causes: readonly { readonly cause: string; readonly evidence: readonly string[]; readonly remedy: string }[]
}

export const LINKS = '/rackward/v1/links'
const ANSWER_MS = 60_000
const LATE = `no answer after ${ANSWER_MS / 1000} s`
const UNKNOWN = `${LATE}: whether it was carried out is not known, so look at the state before you try again`
const VERSION = { 'OpenStack-API-Version': 'baremetal latest' }

/** Ironic's errors are a JSON document inside a JSON string; what is not one is told by its status. */
async function errorOf(response: Response): Promise<ApiError> {
  const text = await response.text().catch(() => '')
  try {
    const body = JSON.parse(text) as { error_message?: string; error?: { message?: string } }
    const said = body.error_message
      ? (JSON.parse(body.error_message) as { faultstring: string }).faultstring
      : body.error?.message
    if (said) return new ApiError(response.status, said, response.headers.get('x-rackward-fault') ?? '')
  } catch {
    // Not JSON: a proxy answered.
  }
  return new ApiError(response.status, `the conductor answered with status ${response.status}`)
}

/** Aborts what has no answer by then: a connection that stands still may never end by itself. */
function limit(): AbortSignal {
  const controller = new AbortController()
  after(ANSWER_MS, () => controller.abort(new DOMException(LATE, 'TimeoutError')))
  return controller.signal
}

async function ask(path: string, init: RequestInit): Promise<Response> {
  const headers = { ...VERSION, ...(init.headers as Record<string, string> | undefined) }
  const response = await fetch(path, { signal: limit(), ...init, headers }).catch((error: unknown) => {
    const isLate = error instanceof DOMException && error.name === 'TimeoutError'
    const late = init.method === undefined ? LATE : UNKNOWN
    throw new ApiError(0, isLate ? late : 'the conductor does not answer')
  })
  if (!response.ok && response.status !== 304) throw await errorOf(response)
  return response
}

export const getJson = async <T>(path: string): Promise<T> => (await (await ask(path, {})).json()) as T

export interface Change {
  readonly method: 'PUT' | 'POST' | 'PATCH' | 'DELETE'
  readonly path: string
  /** Undefined: none. */
  readonly body?: unknown
  /** The name that the user typed for what the mesh protects. */
  readonly confirm?: string | undefined
}

/** A change, with the proof that it comes from this page. */
export async function send({ method, path, body, confirm }: Change, csrf: string | null): Promise<void> {
  const headers = {
    'Content-Type': 'application/json',
    ...(csrf === null ? {} : { 'X-Rackward-CSRF': csrf }),
    ...(confirm ? { 'X-Rackward-Confirm': confirm } : {}),
  }
  const hasBody = body !== undefined
  await ask(path, { method, headers, ...(hasBody ? { body: JSON.stringify(body) } : {}) })
}

/** Undefined: it is still what `etag` names. */
export async function getBoard(etag: string | null): Promise<{ board: Board; etag: string | null } | undefined> {
  const response = await ask('/rackward/v1/board', etag === null ? {} : { headers: { 'If-None-Match': etag } })
  if (response.status === 304) return undefined
  return { board: (await response.json()) as Board, etag: response.headers.get('etag') }
}

export async function logIn(user: string, password: string): Promise<void> {
  const body = JSON.stringify({ user, password })
  await ask('/rackward/v1/session', { method: 'POST', body, headers: { 'Content-Type': 'application/json' } })
}

export async function logInByLink(link: string): Promise<void> {
  const headers = { 'Content-Type': 'application/json' }
  await ask('/rackward/v1/session', { method: 'POST', body: JSON.stringify({ link }), headers })
}

export interface ReadLink {
  readonly id: string
  readonly user: string
  readonly ends: string
}

/** The address of a new read-only link. */
export async function makeLink(hours: number, csrf: string | null): Promise<string> {
  const headers = { 'Content-Type': 'application/json', ...(csrf === null ? {} : { 'X-Rackward-CSRF': csrf }) }
  const answer = await ask(LINKS, { method: 'POST', body: JSON.stringify({ hours }), headers })
  return ((await answer.json()) as { link: string }).link
}

export async function logOut(csrf: string): Promise<void> {
  await ask('/rackward/v1/session', { method: 'DELETE', headers: { 'X-Rackward-CSRF': csrf } })
}

/** Calls back for each event, and for each sign of life; ends when the stream does. */
export async function stream(
  afterSeq: number,
  on: {
    readonly event: (event: WireEvent) => void
    readonly live: (news: LiveNews) => void
    readonly alive: () => void
  },
  signal: AbortSignal,
): Promise<void> {
  const headers = { Accept: 'text/event-stream' }
  const response = await ask(`/rackward/v1/events?live=true&after=${afterSeq}`, { headers, signal })
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  for (;;) {
    const piece = await reader?.read()
    if (!piece || piece.done) return
    on.alive()
    const blocks = (rest + piece.value).split('\n\n')
    rest = blocks.pop() ?? ''
    for (const block of blocks) {
      const lines = block.split('\n')
      const data = lines.find((line) => line.startsWith('data: '))?.slice('data: '.length)
      if (data === undefined) continue
      if (lines.includes('event: live')) on.live(JSON.parse(data) as LiveNews)
      else on.event(JSON.parse(data) as WireEvent)
    }
  }
}
