/** A port of 127.0.0.1 outside of the rack's namespace that leads to the API of its conductor, and so to the web
 *  console. The process lives inside the namespace, and ends with it. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect, createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { listen } from '../../kit/listen.ts'
import type { Rack } from './rack.ts'
import { ROOT } from './root.ts'

/** Of the socket that the child is handed. */
export const LISTENER_FD = 3
/** The first choice: the same address in every run. */
const PORT = 8443

/** Passes every connection on to the unix socket. */
export function passOn(server: Server, socketPath: string): void {
  server.on('connection', (from) => {
    const to = connect(socketPath)
    for (const [one, other] of [
      [from, to],
      [to, from],
    ] as const) {
      one.on('error', () => other.destroy())
      one.on('close', () => other.destroy())
      one.pipe(other)
    }
  })
}

/** Answers the URL of the console. */
export async function openDoor(rack: Rack): Promise<string> {
  const server = createServer()
  const host = '127.0.0.1'
  await listen(server, { host, port: PORT }).catch(() => listen(server, { host, port: 0 }))
  const { port } = server.address() as { port: number }
  const { fd } = (server as unknown as { _handle: { fd: number } })._handle
  const program = join(ROOT, 'dist/test/lab/web-door-main.js')
  const [command = '', ...argv] = rack.in([process.execPath, program, join(rack.dir, 'api.sock')])
  const child = spawn(command, argv, { stdio: ['ignore', 'ignore', 'ignore', fd], detached: true })
  await once(child, 'spawn')
  child.unref()
  server.close()
  return `http://${host}:${port}/ui/`
}
