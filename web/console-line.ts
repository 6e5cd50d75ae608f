/** The line to a serial console: bytes both ways over a websocket, and in words why it ended. */

export interface Line {
  send(bytes: Uint8Array): void
  close(): void
}

export interface OnLine {
  readonly opened: () => void
  readonly said: (bytes: Uint8Array) => void
  readonly closed: (text: string) => void
}

/** The conductor takes no longer message. */
const MESSAGE_BYTES = 16 * 1024
/** As the conductor has them. */
const CLOSE = { end: 1000, stops: 1001, denied: 1008, broken: 1011, refused: 4000 } as const

function why(code: number, reason: string, asked: boolean): string {
  const because = reason === '' ? '' : `: ${reason}`
  if (asked) return 'You left it.'
  if (code === CLOSE.end) return 'The console ended.'
  if (code === CLOSE.stops) return `The conductor stops${because}.`
  if (code === CLOSE.denied) return `You may no longer have it${because}.`
  if (code === CLOSE.broken) return `Closed by the BMC${because}.`
  if (code === CLOSE.refused) return `Refused${because}.`
  return 'The connection to the conductor was lost, or it refused.'
}

export function open(ident: string, steal: boolean, on: OnLine): Line {
  const scheme = location.protocol === 'https:' ? 'wss:' : 'ws:'
  const path = `/rackward/v1/nodes/${encodeURIComponent(ident)}/console${steal ? '?steal=true' : ''}`
  const socket = new WebSocket(`${scheme}//${location.host}${path}`)
  socket.binaryType = 'arraybuffer'
  let asked = false
  socket.addEventListener('message', ({ data }) => on.said(new Uint8Array(data as ArrayBuffer)))
  socket.addEventListener('close', ({ code, reason }) => on.closed(why(code, reason, asked)))
  socket.addEventListener('open', () => on.opened())
  return {
    send(bytes) {
      if (socket.readyState !== WebSocket.OPEN) return
      for (let at = 0; at < bytes.length; at += MESSAGE_BYTES) socket.send(bytes.slice(at, at + MESSAGE_BYTES))
    },
    close() {
      asked = true
      socket.close(CLOSE.end)
    },
  }
}
