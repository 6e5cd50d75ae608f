/** A UDP socket that is connected to a BMC, and what came by it: the kernel drops what comes from elsewhere. */
import { createSocket, type Socket } from 'node:dgram'
import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import type { Clock } from '../../../kit/clock.ts'
import type { IpmiInfo } from '../controller.ts'
import { socketFault } from './faults.ts'

/** Datagrams that wait while the guard is asked. */
const MAX_WAITING = 32

export class UdpWire {
  private readonly socket: Socket
  private readonly waiting: Buffer[] = []
  private wake: (() => void) | undefined

  private constructor(socket: Socket) {
    this.socket = socket
    socket.on('message', (bytes) => {
      if (this.waiting.length < MAX_WAITING) this.waiting.push(bytes)
      this.wake?.()
    })
  }

  /** Throws `bmc.unreachable`, and `run.resources` where this machine has no socket left. */
  static async open(info: IpmiInfo): Promise<UdpWire> {
    const { address, port } = info
    const fault = (error: unknown) => Promise.reject(socketFault(info, error as NodeJS.ErrnoException))
    const at = isIP(address) ? { address, family: isIP(address) } : await lookup(address).catch(fault)
    const socket = createSocket(at.family === 6 ? 'udp6' : 'udp4')
    return new Promise<UdpWire>((resolve, reject) => {
      socket.once('error', reject)
      socket.connect(port, at.address, () => {
        // "Port unreachable" is no answer: the wait goes on, as for a BMC that is just starting.
        socket.removeListener('error', reject).on('error', () => undefined)
        resolve(new UdpWire(socket))
      })
    }).catch((error: unknown) => {
      socket.close()
      return fault(error)
    })
  }

  /** At once: a connected socket looks nothing up. */
  send(bytes: Buffer): void {
    this.socket.send(bytes, () => undefined)
  }

  /** Undefined: nothing came in time, or before `signal`. */
  receive(how: {
    readonly waitMs: number
    readonly clock: Clock
    readonly signal: AbortSignal
  }): Promise<Buffer | undefined> {
    const here = this.waiting.shift()
    if (here || how.waitMs <= 0 || how.signal.aborted) return Promise.resolve(here)
    return new Promise((resolve) => {
      const end = () => {
        this.wake = undefined
        timer()
        how.signal.removeEventListener('abort', end)
        resolve(this.waiting.shift())
      }
      const timer = how.clock.after(how.waitMs, end)
      how.signal.addEventListener('abort', end, { once: true })
      this.wake = end
    })
  }

  close(): void {
    this.socket.close()
  }
}
