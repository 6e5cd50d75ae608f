/** Keeps the board and the events up to date: a board, then the stream of events from there on. A connection that
 *  breaks is made again, and goes on after the last event, so nothing is missed. */
import { ApiError, getBoard, getJson, logInByLink, stream, type Me, type WireEvent } from './api.ts'
import { after, every, nowMs, takeLink } from './browser.ts'
import { forgetNews, takeNews, withProgress } from './live-news.ts'
import { aheadMs, board, events, heardMs, link, loginProblem, MAX_EVENTS, me, mesh, NO_MESH, tick } from './state.ts'

/** The conductor shows that it lives every 15 s. */
const SILENT_MS = 40_000
/** How far deploys are comes with the stream: the board is asked for what goes on without an event. */
const BUSY_MS = 10_000
const REST_MS = 20_000
const SOON_MS = 700
const RETRY_MS = 2_000
/** More at once are cut. */
const MAX_BURST = 5_000
/** Older events that a page shows when it opens. */
const PAST = 200

let etag: string | null = null
let lastSeq: number | undefined
let cancelLook = (): void => undefined
let soon = false
let happenedMs = 0
let running: AbortController | undefined

const unauthorised = (error: unknown): boolean => error instanceof ApiError && error.status === 401

function forget(): void {
  running?.abort()
  running = undefined
  cancelLook()
  etag = null
  soon = false
  lastSeq = undefined
  board.value = undefined
  events.value = []
  waiting = []
  forgetNews()
  mesh.value = NO_MESH
}

/** Whether somebody with a password is logged in, whom a link does not log out: other pages share the login. */
const isUser = (): Promise<boolean> =>
  getJson<Me>('/rackward/v1/me').then(
    ({ read_only }) => !read_only,
    (error: unknown) => {
      if (unauthorised(error)) return false
      throw error
    },
  )

/** Of the address, until the conductor has answered. */
let readLink: string | undefined

/** Finds out who uses the console; starts when somebody does. A read-only link logs in by itself. */
export async function begin(): Promise<void> {
  try {
    readLink ??= takeLink()
    if (readLink !== undefined && !(await isUser())) await logInByLink(readLink)
    readLink = undefined
    const found = await getJson<Me>('/rackward/v1/me')
    // Whoever may change nothing is shown what a reader is.
    me.value = found.read_only ? { ...found, role: 'reader' } : found
    aheadMs.value = Date.parse(me.value.now) - nowMs()
    start()
  } catch (error) {
    if (!unauthorised(error)) {
      lose(error)
      after(RETRY_MS, () => void begin())
      return
    }
    readLink = undefined
    forget()
    loginProblem.value = error instanceof ApiError && error.fault === 'access.unknown' ? error.message : ''
    me.value = null
  }
}

export function stop(): void {
  forget()
  me.value = null
}

function start(): void {
  running?.abort()
  running = new AbortController()
  void follow(running.signal)
}

const heard = (): void => {
  heardMs.value = nowMs()
  if (link.value.state !== 'live') link.value = { state: 'live', sinceMs: nowMs() }
}

function lose(error: unknown): void {
  if (link.value.state === 'lost') return
  link.value = { state: 'lost', sinceMs: heardMs.value, why: error instanceof Error ? error.message : '' }
}

async function follow(signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const attempt = new AbortController()
    const abort = () => attempt.abort()
    signal.addEventListener('abort', abort)
    const watch = every(1_000, () => nowMs() - heardMs.value > SILENT_MS && attempt.abort())
    try {
      await look(signal)
      await fillPast(signal)
      forgetNews()
      await stream(lastSeq ?? 0, { event: take, live: takeNews, alive: heard }, attempt.signal)
      lose(new Error('the conductor ended the connection'))
    } catch (error) {
      if (signal.aborted) return
      if (unauthorised(error)) return stop()
      lose(error)
    } finally {
      watch()
      signal.removeEventListener('abort', abort)
    }
    // Silence is counted from here on again.
    await new Promise<void>((resolve) => void after(RETRY_MS, resolve))
    if (link.value.state === 'lost') heardMs.value = nowMs()
  }
}

/** Takes a new board, and comes back: soon while something goes on, seldom otherwise. */
async function look(signal: AbortSignal): Promise<void> {
  cancelLook()
  const found = await getBoard(etag)
  // Of somebody who has logged out meanwhile.
  if (signal.aborted) return
  heard()
  if (found) {
    etag = found.etag
    board.value = withProgress(found.board)
    aheadMs.value = Date.parse(found.board.now) - nowMs()
    lastSeq ??= found.board.seq
  }
  // What happened while this board was on its way is not on it, nor is it on one that the conductor made before.
  if (soon) return lookAfter(SOON_MS)
  const busy = board.value?.nodes.some(({ kind }) => kind === 'working' || kind === 'waiting')
  lookAfter(busy || nowMs() - happenedMs < REST_MS ? BUSY_MS : REST_MS)
}

function lookAfter(ms: number): void {
  const signal = running?.signal
  if (!signal) return
  cancelLook()
  cancelLook = after(ms, () => {
    soon = false
    look(signal).catch((error: unknown) => {
      if (signal.aborted) return
      if (unauthorised(error)) stop()
      else lookAfter(BUSY_MS)
    })
  })
}

async function fillPast(signal: AbortSignal): Promise<void> {
  if (events.value.length > 0 || lastSeq === undefined) return
  const from = Math.max(0, lastSeq - PAST)
  const past = await getJson<{ events: WireEvent[] }>(`/rackward/v1/events?after=${from}&limit=${PAST}`)
  if (!signal.aborted) events.value = past.events.filter(({ seq }) => seq <= (lastSeq ?? 0)).reverse()
}

function take(event: WireEvent): void {
  lastSeq = event.seq
  happenedMs = nowMs()
  waiting.push(event)
  if (waiting.length === 1) after(100, flush)
  if (soon) return
  soon = true
  lookAfter(SOON_MS)
}

/** Events come in bursts: pages are drawn once for each, and see all of it. */
let waiting: WireEvent[] = []
function flush(): void {
  const kept = Math.max(MAX_EVENTS, Math.min(waiting.length, MAX_BURST))
  events.value = [...waiting.reverse(), ...events.value].slice(0, kept)
  waiting = []
}

export const startClock = (): (() => void) => every(1_000, () => (tick.value = nowMs()))
