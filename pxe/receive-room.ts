/** How much a UDP socket keeps that was not read yet. A row of racks that is switched on sends a thousand requests at
 *  once, and the kernel's default holds fewer than three hundred of them; it drops the others without a word. */
import type { Socket } from 'node:dgram'
import { setsockopt } from 'sockopt'

const SOL_SOCKET = 1
const SO_RCVBUFFORCE = 33
const ROOM_BYTES = 4 * 1024 * 1024

/** As much as is allowed: net.core.rmem_max bounds who lacks CAP_NET_ADMIN. For a socket that is bound. */
export function makeReceiveRoom(socket: Socket): void {
  try {
    setsockopt(socket, SOL_SOCKET, SO_RCVBUFFORCE, ROOM_BYTES)
  } catch {
    socket.setRecvBufferSize(ROOM_BYTES)
  }
}
