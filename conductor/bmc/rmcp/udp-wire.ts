/** A UDP socket that is connected to a BMC, and what came by it: the kernel drops what comes from elsewhere. */
import { createSocket, type Socket } from 'node:dgram'
import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import type { Clock } from '../../../kit/clock.ts'
import { unlessAborted } from '../../../kit/unless-aborted.ts'
import type { IpmiInfo } from '../controller.ts'
import { socketFault } from './faults.ts'

/** Datagrams that wait while the guard is asked. */
const MAX_WAITING = 32

export class UdpWire {
  private readonly socket: Socket
  private readonly signal: AbortSignal
  private readonly waiting: Buffer[] = []
  private wake: (() => void) | undefined

  private constructor(socket: Socket, signal: AbortSignal) {
    this.socket = socket
    this.signal = signal
    // "Port unreachable" is no answer: the wait goes on, as for a BMC that is just starting.
    socket.on('error', () => undefined)
    socket.on('message', (bytes) => {
      if (this.waiting.length < MAX_WAITING) this.waiting.push(bytes)
      this.wake?.()
    })
    signal.addEventListener('abort', this.aborted, { once: true })
  }

  /** By the first address of the name that this machine has a route to. Throws `bmc.unreachable`, `run.resources` where
   *  this machine has no socket left, and the reason of the signal. */
  static async open(info: IpmiInfo, signal: AbortSignal): Promise<UdpWire> {
    try {
      return new UdpWire(await firstOf(await addressesOf(info.address, signal), info.port), signal)
    } catch (error) {
      signal.throwIfAborted()
      throw socketFault(info, error as NodeJS.ErrnoException)
    }
  }

  /** At once: a connected socket looks nothing up. */
  send(bytes: Buffer): void {
    this.socket.send(bytes, () => undefined)
  }

  /** Undefined: nothing came in time, or before the signal. */
  receive({ waitMs, clock }: { readonly waitMs: number; readonly clock: Clock }): Promise<Buffer | undefined> {
    const here = this.waiting.shift()
    if (here || waitMs <= 0 || this.signal.aborted) return Promise.resolve(here)
    return new Promise((resolve) => {
      const end = () => {
        this.wake = undefined
        timer()
        resolve(this.waiting.shift())
      }
      const timer = clock.after(waitMs, end)
      this.wake = end
    })
  }

  close(): void {
    this.signal.removeEventListener('abort', this.aborted)
    this.socket.close()
  }

  private readonly aborted = () => this.wake?.()
}

interface Address {
  readonly address: string
  readonly family: number
}

/** A look-up cannot be broken off, but nobody waits for one whose answer is not wanted any more. */
function addressesOf(name: string, signal: AbortSignal): Promise<readonly Address[]> | readonly Address[] {
  if (isIP(name)) return [{ address: name, family: isIP(name) }]
  return unlessAborted(lookup(name, { all: true }), signal)
}

async function firstOf(addresses: readonly Address[], port: number): Promise<Socket> {
  let failure: unknown
  for (const at of addresses)
    try {
      return await connected(at, port)
    } catch (error) {
      failure = error
    }
  throw failure
}

function connected({ address, family }: Address, port: number): Promise<Socket> {
  const socket = createSocket(family === 6 ? 'udp6' : 'udp4')
  return new Promise((resolve, reject) => {
    const fail = (error: Error) => {
      socket.close()
      reject(error)
    }
    // bind() emits its error; connect() hands it to the callback.
    socket.once('error', fail)
    socket.connect(port, address, (error?: Error) => {
      if (error) return fail(error)
      socket.removeListener('error', fail)
      resolve(socket)
    })
  })
}
