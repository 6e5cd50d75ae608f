/** Requests to the conductor. An answer that is an error becomes an `ApiError` with the text of the conductor. */
import type { Board, ImageList, Me, Phases } from '../conductor/api/board-schemas.ts'

export type { Board, ImageList, Me, Phases }
export type BoardNode = Board['nodes'][number]

export class ApiError extends Error {
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

export interface WireEvent {
  readonly seq: number
  readonly at: string
  readonly kind: string
  readonly node_uuid: string | null
  readonly detail: Readonly<Record<string, unknown>>
}

export interface Account {
  readonly description: string
  readonly waits_for: string
  readonly since: string
  readonly deadline: string | null
  readonly lock: { readonly holder: string; readonly reason: string } | null
  readonly usual: { readonly median_seconds: number | null; readonly p95_seconds: number | null } | null
  readonly seen: readonly { readonly what: string; readonly at: string; readonly detail: string }[]
  readonly causes: readonly { readonly cause: string; readonly evidence: readonly string[]; readonly remedy: string }[]
}

const VERSION = { 'OpenStack-API-Version': 'baremetal latest' }

/** Ironic's errors are a JSON document inside a JSON string; what is not one is told by its status. */
async function errorOf(response: Response): Promise<ApiError> {
  const text = await response.text().catch(() => '')
  try {
    const body = JSON.parse(text) as { error_message?: string; error?: { message?: string } }
    const said = body.error_message
      ? (JSON.parse(body.error_message) as { faultstring: string }).faultstring
      : body.error?.message
    if (said) return new ApiError(response.status, said)
  } catch {
    // Not JSON: a proxy answered.
  }
  return new ApiError(response.status, `the conductor answered with status ${response.status}`)
}

async function ask(path: string, init: RequestInit): Promise<Response> {
  const headers = { ...VERSION, ...(init.headers as Record<string, string> | undefined) }
  const response = await fetch(path, { ...init, headers }).catch(() => {
    throw new ApiError(0, 'the conductor does not answer')
  })
  if (!response.ok && response.status !== 304) throw await errorOf(response)
  return response
}

export const getJson = async <T>(path: string): Promise<T> => (await (await ask(path, {})).json()) as T

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

export async function logOut(csrf: string): Promise<void> {
  await ask('/rackward/v1/session', { method: 'DELETE', headers: { 'X-Rackward-CSRF': csrf } })
}

/** Calls back for each event, and for each sign of life; ends when the stream does. */
export async function stream(
  afterSeq: number,
  on: { readonly event: (event: WireEvent) => void; readonly alive: () => void },
  signal: AbortSignal,
): Promise<void> {
  const headers = { Accept: 'text/event-stream' }
  const response = await ask(`/rackward/v1/events?after=${afterSeq}`, { headers, signal })
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  for (;;) {
    const piece = await reader?.read()
    if (!piece || piece.done) return
    on.alive()
    const blocks = (rest + piece.value).split('\n\n')
    rest = blocks.pop() ?? ''
    for (const block of blocks) {
      const data = block.split('\n').find((line) => line.startsWith('data: '))
      if (data) on.event(JSON.parse(data.slice('data: '.length)) as WireEvent)
    }
  }
}
