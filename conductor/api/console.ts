/** The serial console of a node as a websocket (RFC 6455): binary messages both ways, what its BMC sends and what is
 *  typed (IPMI 2.0, section 26: serial over LAN). Nobody but the conductor needs to reach the BMC or to know its
 *  password. Ironic's own way, a TCP port that anybody may open, is not offered. */
import { type IncomingMessage, STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import { WebSocketServer, type WebSocket } from 'ws'
import type { Clock } from '../../kit/clock.ts'
import { Fault, isFault } from '../../kit/fault.ts'
import type { Log } from '../../kit/log.ts'
import { requestTarget } from '../../kit/request-target.ts'
import type { Piped } from '../../kit/run.ts'
import type { EventHub } from '../events/hub.ts'
import type { OnLimit } from '../../kit/limit-meter.ts'
import type { Limits } from '../limits.ts'
import type { NodeService } from '../node/service.ts'
import type { SeenEvent, Store } from '../store/port.ts'
import { seenNode, standing } from './access.ts'
import { type Actor, type Authenticator, mayRole } from './auth.ts'
import { callerOf, isBrowser } from './caller.ts'
import { refuseCrossSite, refuseForeignName } from './cross-site.ts'
import { problemOf } from './problems.ts'
import type { Sessions } from './sessions.ts'
import { veilFault } from './veil.ts'

export interface ConsoleParts {
  readonly auth: Authenticator
  readonly sessions: Sessions
  /** Without authentication: the names that the API answers to, beside addresses. */
  readonly ownNames: readonly string[] | undefined
  readonly nodes: NodeService
  readonly store: Pick<Store, 'journal'>
  readonly clock: Clock
  readonly log: Log
  readonly limits: Pick<Limits['api'], 'consoles' | 'consoleBufferBytes'>
  readonly onLimit: OnLimit
  /** What happens to nodes: a console ends when its node is no longer its user's. */
  readonly hub: Pick<EventHub, 'follow'>
  /** The conductor stops. */
  readonly signal: AbortSignal
}

interface Upgrade {
  readonly request: IncomingMessage
  readonly socket: Duplex
  readonly head: Buffer
}
export type OnUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer) => void

const PATH = /^\/rackward\/v1\/nodes\/([^/]+)\/console\/?$/
const MAX_TYPED_BYTES = 64 * 1024
const PING_MS = 30_000
/** After this, the process of a console is killed. */
const END_TIMEOUT_MS = 5_000
/** Close codes (RFC 6455, 7.4.1): its end; the conductor stops; the user may no longer have it; the BMC broke off; and
 *  one of ours, for pages: it was not opened. */
const CLOSE = { end: 1000, stops: 1001, denied: 1008, broken: 1011, refused: 4000 } as const
const MAX_REASON_BYTES = 120

export function consoleUpgrades(parts: ConsoleParts): OnUpgrade {
  const server = new WebSocketServer({ noServer: true, maxPayload: MAX_TYPED_BYTES, perMessageDeflate: false })
  let open = 0
  const take = async (request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> => {
    const admitted = await admit(parts, request)
    await serve(admitted, { request, socket, head }).catch((error: unknown) => {
      // Pages alone send their origin. They cannot read why a handshake was refused: they are told after it.
      if (request.headers.origin === undefined || socket.destroyed) throw error
      server.handleUpgrade(request, socket, head, (ws) => {
        // Until it answers the close, a client may send what breaks the protocol.
        ws.on('error', () => ws.terminate())
        ws.close(...refusalOf(error))
      })
    })
  }
  const serve = async (
    { actor, session, node, steal }: Awaited<ReturnType<typeof admit>>,
    { request, socket, head }: Upgrade,
  ): Promise<void> => {
    if (open >= parts.limits.consoles) {
      parts.onLimit('api.consoles', { user: actor.user })
      throw new Fault('object.conflict', `${parts.limits.consoles} consoles are open already`)
    }
    if (socket.destroyed) return
    open += 1
    let line: Piped | undefined
    // However it ends, and also where the handshake was none.
    socket.once('close', () => {
      open -= 1
      if (line) endLine(line, parts.clock)
    })
    const tell = (what: string, more = {}) =>
      parts.store.journal.add({
        atMs: parts.clock.now(),
        nodeUuid: node.uuid,
        kind: 'console',
        detail: { what, by: actor.user, ...more },
      })
    const tellLater = (what: string, more = {}) =>
      void tell(what, more).catch((error: unknown) =>
        parts.log.warn({ err: error }, 'that a console was left is not in the record'),
      )
    const lease = leaseOf(actor, node.uuid, parts.hub)
    socket.once('close', lease.unfollow)
    socket.once(
      'close',
      parts.sessions.hold({ actor, session }, () =>
        lease.end(new Fault('access.unknown', session ? 'your session has ended' : 'your password is another one now')),
      ),
    )
    // Before it is opened: what cannot be recorded is not done.
    await tell('opened', steal ? { steal } : {})
    const shown = (error: unknown) => (standing(actor, node) === 'lessee' ? veilFault(error) : error)
    const opened = await parts.nodes.atBmc.console(node, steal).catch((error: unknown) => {
      tellLater('refused', isFault(error) ? { fault: error.code } : {})
      throw shown(error)
    })
    line = opened
    if (socket.destroyed) {
      tellLater('closed')
      return endLine(opened, parts.clock)
    }
    if (lease.ended !== undefined) {
      endLine(opened, parts.clock)
      throw lease.ended
    }
    socket.once('close', () => tellLater('closed'))
    server.handleUpgrade(request, socket, head, (ws) => {
      const done = opened.done.catch((error: unknown) => {
        throw shown(error)
      })
      join(ws, { ...opened, done }, parts)
      lease.onEnd((why) => {
        ws.close(CLOSE.denied, closeReason(why.detail, 'start'))
        // A client that goes on typing instead of closing types into nothing.
        endLine(opened, parts.clock)
      })
    })
  }
  return (request, socket, head) => {
    socket.on('error', () => socket.destroy())
    take(request, socket, head).catch((error: unknown) => {
      const { status, body } = problemOf(error)
      if (status >= 500) parts.log.warn({ err: error }, 'a console was not opened')
      // The server no longer watches this connection: a client that does not end its side would keep it for ever.
      socket.end(answerOf(status, JSON.stringify(body), isBrowser(request)), () => socket.destroy())
    })
  }
}

/** Code and reason. Whose session ended, or who lost the node meanwhile, may no longer have it. */
function refusalOf(error: unknown): [code: number, reason: string] {
  const isLost = isFault(error, 'access.unknown') || isFault(error, 'object.missing')
  const { error_message } = problemOf(error).body
  const text = (JSON.parse(error_message) as { faultstring: string }).faultstring
  return [isLost ? CLOSE.denied : CLOSE.refused, closeReason(text, 'start')]
}

/** As much of a text as a close frame holds, without characters that were cut: a longer reason throws. */
export function closeReason(text: string, keep: 'start' | 'end'): string {
  const bytes = Buffer.from(text)
  const kept = keep === 'start' ? bytes.subarray(0, MAX_REASON_BYTES) : bytes.subarray(-MAX_REASON_BYTES)
  return kept.toString().replaceAll('\uFFFD', '')
}

/** Tells when the user may no longer have the console: the session has ended, or the node is no longer the user's. A
 *  change of its owner or lessee is an event of it, which comes with the owner and the lessee of then. */
function leaseOf(actor: Actor, nodeUuid: string, hub: ConsoleParts['hub']) {
  let tell = (_why: Fault): void => undefined
  const lost = (event: SeenEvent) => event.nodeUuid === nodeUuid && standing(actor, event) === 'none'
  const lease = {
    /** Why. */
    ended: undefined as Fault | undefined,
    onEnd: (callback: (why: Fault) => void) => void (tell = callback),
    end(why: Fault) {
      if (lease.ended !== undefined) return
      lease.ended = why
      tell(why)
    },
    unfollow: hub.follow(({ events }) => {
      if (events.some(lost)) lease.end(new Fault('object.missing', 'the node is no longer yours'))
    }),
  }
  return lease
}

const answerOf = (status: number, body: string, toBrowser: boolean): string =>
  [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`,
    'Connection: close',
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    ...(status === 401 && !toBrowser ? ['WWW-Authenticate: Basic realm="Rackward"'] : []),
    '',
    body,
  ].join('\r\n')

async function admit(parts: ConsoleParts, request: IncomingMessage) {
  const { nodes, ownNames } = parts
  if (ownNames) refuseForeignName(request, ownNames)
  // A page of another site could ride on the password that a browser keeps.
  refuseCrossSite(request)
  const { path, query } = requestTarget(request.url)
  const caller = await callerOf(request, parts)
  if (!caller) throw new Fault('access.unknown', 'give a user and a password (HTTP basic)')
  const { actor, session } = caller
  const ident = PATH.exec(path)?.[1]
  if (ident === undefined) throw new Fault('object.missing', `there is no websocket ${path.slice(0, 200)}`)
  if (!mayRole(actor, 'operator'))
    throw new Fault('access.denied', `user ${actor.user} is a ${actor.role}: a console needs an operator`)
  const node = await seenNode(nodes, actor, decoded(ident))
  return { actor, session, node, steal: query.get('steal') === 'true' }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new Fault('input.invalid', 'the name of the node: not percent-encoded as it should be')
  }
}

/** Asks first: a process that is killed leaves its session at the BMC, which then refuses the next one. */
function endLine(line: Piped, clock: Clock): void {
  // What is still on its way is read by nobody.
  line.stdout.removeAllListeners('data').resume()
  line.end()
  const cancel = clock.after(END_TIMEOUT_MS, () => line.stop())
  line.done.then(cancel, cancel)
}

/** Until one of the two ends. Each side is paused while the other does not keep up. */
function join(ws: WebSocket, line: Piped, { clock, signal, limits }: ConsoleParts): void {
  const stops = () => ws.close(CLOSE.stops, 'the conductor stops')
  let answered = true
  let cancel = (): void => undefined
  const ping = (): void => {
    cancel = clock.after(PING_MS, ping)
    if (!answered) return ws.terminate()
    answered = false
    ws.ping()
  }
  cancel = clock.after(PING_MS, ping)
  ws.on('pong', () => (answered = true))
  line.stdout.on('data', (chunk: Buffer) => {
    ws.send(chunk, { binary: true }, () => ws.bufferedAmount < limits.consoleBufferBytes && line.stdout.resume())
    if (ws.bufferedAmount >= limits.consoleBufferBytes) line.stdout.pause()
  })
  let typedBytes = 0
  ws.on('message', (data: Buffer) => {
    // Somebody who types is there, also while his pong waits behind what he typed.
    answered = true
    typedBytes += data.length
    line.stdin.write(data, () => {
      typedBytes -= data.length
      if (typedBytes < limits.consoleBufferBytes) ws.resume()
    })
    if (typedBytes >= limits.consoleBufferBytes) ws.pause()
  })
  ws.on('error', () => ws.terminate())
  line.stdin.on('error', () => undefined)
  if (signal.aborted) stops()
  signal.addEventListener('abort', stops, { once: true })
  line.done.then(
    () => ws.close(CLOSE.end),
    (error: Error) => ws.close(CLOSE.broken, closeReason(error.message, 'end')),
  )
  ws.once('close', () => {
    cancel()
    signal.removeEventListener('abort', stops)
  })
}
