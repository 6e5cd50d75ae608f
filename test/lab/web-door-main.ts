/** The process of the port that leads to the rack's console: web-door-main.js SOCKET, with the listener handed in. */
import { createServer } from 'node:net'
import { LISTENER_FD, passOn } from './web-door.ts'

const server = createServer()
passOn(server, process.argv[2] ?? '')
server.listen({ fd: LISTENER_FD })
