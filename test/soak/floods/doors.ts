/** Floods of the agents' port and of consoles. */
import { connect, type ClientHttp2Session } from 'node:http2'
import { WebSocket } from 'ws'
import { pause } from '../pause.ts'
import { lanes, type Flood } from './flood.ts'

/** Sessions with as many streams as the server allows, each of which begins a body and never ends it. */
export const openStreams: Flood = {
  name: 'streams without a token and without an end',
  async run(target, signal) {
    const sessions = new Set<ClientHttp2Session>()
    const count = await lanes(2, signal, async () => {
      if (sessions.size >= 200) return pause(100)
      const session = connect(`https://${target.agents.host}:${target.agents.port}`, { rejectUnauthorized: false })
      sessions.add(session)
      session.on('error', () => undefined)
      session.on('close', () => sessions.delete(session))
      for (let i = 0; i < 500; i += 1) {
        const stream = session.request({
          ':method': 'POST',
          ':path': i % 2 === 0 ? '/agent/v1/report' : '/agent/v1/session',
        })
        stream.on('error', () => undefined)
        stream.write('x'.repeat(16_000))
      }
      return pause(20)
    })
    for (const session of sessions) session.destroy()
    return count
  },
}

export const typedConsoles: Flood = {
  name: 'a console that is typed into and not read',
  async run(target, signal) {
    const headers = { authorization: `Basic ${Buffer.from('admin:admin-password').toString('base64')}` }
    const socket = new WebSocket(
      `${target.api.replace('http', 'ws')}/rackward/v1/nodes/${target.decoy}/console?steal=true`,
      { headers },
    )
    socket.on('error', () => undefined)
    const text = Buffer.alloc(64 * 1024, 120)
    const count = await lanes(1, signal, async () => {
      if (socket.readyState !== WebSocket.OPEN) return pause(20)
      socket.pause()
      if (socket.bufferedAmount > 8 * 1024 * 1024) return pause(20)
      socket.send(text)
      return pause(0)
    })
    socket.terminate()
    return count
  },
}
