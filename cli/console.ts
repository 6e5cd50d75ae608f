/** `rackward node console`: the serial console of a node through the conductor, which alone knows its BMC and the
 *  password. `~.` at the beginning of a line ends it, as with ssh. */
import WebSocket from 'ws'
import type { Common } from './nodes.ts'
import { findPlace, parseAnswer, refusal, urlOf, whereOf } from './server.ts'
import { CliError } from './error.ts'

const LINE_ENDS = new Set([0x0d, 0x0a])
/** RFC 6455, 7.4.1. */
const CLOSES = { lost: 1006, broken: 1011 } as const
const [TILDE, DOT] = [0x7e, 0x2e]

export async function openConsole(ident: string, options: Common & { steal?: boolean }): Promise<void> {
  const place = await findPlace(options, process.env)
  const url = urlOf(
    place,
    `/rackward/v1/nodes/${encodeURIComponent(ident)}/console${options.steal ? '?steal=true' : ''}`,
  )
  url.protocol = place.url.protocol === 'https:' ? 'wss:' : 'ws:'
  // The library's way to name a unix socket and a path behind it.
  const to = place.socketPath === undefined ? url : `ws+unix:${place.socketPath}:${url.pathname}${url.search}`
  const basic =
    place.user === undefined ? undefined : Buffer.from(`${place.user}:${place.password ?? ''}`).toString('base64')
  const ws = new WebSocket(to, {
    perMessageDeflate: false,
    ...(basic === undefined ? {} : { headers: { authorization: `Basic ${basic}` } }),
    ...(place.ca ? { ca: place.ca } : {}),
  })
  // Before it is open: what the node says first may come in one packet with the handshake.
  ws.on('message', (data: Buffer) => process.stdout.write(data))
  const ended = endOf(ws)
  ended.catch(() => undefined)
  await opened(ws, whereOf(place))
  process.stderr.write(`console of ${ident}: end it with ~. at the beginning of a line\n`)
  const { stdin } = process
  const escape = escapes()
  const typed = (chunk: Buffer) => {
    const { send, end } = escape(chunk)
    if (send.length > 0) ws.send(send)
    if (end) ws.close()
  }
  if (stdin.isTTY) stdin.setRawMode(true)
  stdin.on('data', typed)
  try {
    await ended
  } finally {
    stdin.off('data', typed)
    if (stdin.isTTY) stdin.setRawMode(false)
    stdin.pause()
    process.stderr.write('\r\nconsole closed\n')
  }
}

/** Ends with the console. */
function endOf(ws: WebSocket): Promise<void> {
  return new Promise((resolve, reject) => {
    ws.once('error', (error) => reject(new CliError('failed', `the console broke off: ${error.message}`)))
    ws.once('close', (code, reason) => {
      const why = reason.toString()
      if (code === CLOSES.broken)
        reject(
          new CliError(
            'failed',
            `the BMC ended the console: ${why}${/already active/i.test(why) ? '; --steal ends the session of another' : ''}`,
          ),
        )
      else if (code === CLOSES.lost) reject(new CliError('failed', 'the console broke off: the conductor is gone'))
      else resolve()
    })
  })
}

function opened(ws: WebSocket, server: string): Promise<void> {
  return new Promise((resolve, reject) => {
    ws.once('open', resolve)
    ws.once('error', (error) => reject(new CliError('unreachable', `${server} cannot be reached: ${error.message}`)))
    ws.once('unexpected-response', (_request, response) => {
      let text = ''
      response.on('data', (chunk: Buffer) => (text += chunk.toString()))
      response.on('end', () => reject(refusal(response.statusCode ?? 0, parseAnswer(text))))
    })
  })
}

/** Finds `~.` at the beginning of a line; what stands before it is still sent. A `~` that is followed by something else
 *  is only held back until then. */
export function escapes(): (chunk: Buffer) => { send: Buffer; end: boolean } {
  let [atStart, held] = [true, false]
  return (chunk) => {
    const out: number[] = []
    for (const byte of chunk) {
      if (held && byte === DOT) return { send: Buffer.from(out), end: true }
      if (held) out.push(TILDE)
      held = !held && atStart && byte === TILDE
      if (!held) out.push(byte)
      atStart = LINE_ENDS.has(byte)
    }
    return { send: Buffer.from(out), end: false }
  }
}
