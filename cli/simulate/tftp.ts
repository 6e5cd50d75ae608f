/** A client of TFTP as firmware is one (RFC 1350, block size of RFC 2348): fetches a file, and counts its bytes. */
import { createSocket } from 'node:dgram'
import type { Clock } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'
import { bind, noLookup } from '../../kit/listen.ts'
import { decodeTftp, encodeTftp, type TftpPacket } from '../../pxe/tftp/packet.ts'

/** What EDK2 asks for. */
const BLOCK_BYTES = 1468
const PORT = 69
const PATIENCE_MS = 4_000
const TRIES = 6

export interface Fetch {
  readonly server: string
  readonly file: string
  /** The address of the client. */
  readonly localAddress: string
  readonly clock: Clock
  readonly signal: AbortSignal
}

/** Answers the bytes of the file. Throws `deploy.download`. */
export async function fetchByTftp({ server, file, localAddress, clock, signal }: Fetch): Promise<number> {
  const socket = await bind(createSocket({ type: 'udp4', lookup: noLookup }), { port: 0, address: localAddress })
  const failed = (why: string) => new Fault('deploy.download', `tftp://${server}/${file}: ${why}`)
  const options = new Map([['blksize', String(BLOCK_BYTES)]])
  let last: { readonly packet: TftpPacket; readonly port: number } = {
    packet: { op: 'rrq', file, mode: 'octet', options },
    port: PORT,
  }
  const send = () => socket.send(encodeTftp(last.packet), last.port, server)
  let [blockBytes, block, sizeBytes, tries] = [512, 0, 0, 0]
  let cancel = (): void => undefined
  let leave = (): void => undefined
  try {
    return await new Promise<number>((resolve, reject) => {
      const wait = () => {
        cancel()
        cancel = clock.after(PATIENCE_MS, () => {
          tries += 1
          if (tries >= TRIES) return reject(failed('the server is silent'))
          send()
          wait()
        })
      }
      const acknowledge = (number: number, port: number) => {
        last = { packet: { op: 'ack', block: number & 0xffff }, port }
        tries = 0
        send()
        wait()
      }
      leave = () => reject(signal.reason as Error)
      signal.addEventListener('abort', leave, { once: true })
      socket.on('error', (error) => reject(failed(error.message)))
      socket.on('message', (bytes, { port }) => {
        const packet = readTftp(bytes)
        if (!packet) return
        if (packet.op === 'error') return reject(failed(packet.message))
        if (packet.op === 'oack') {
          blockBytes = Number(packet.options.get('blksize') ?? blockBytes)
          return acknowledge(0, port)
        }
        // A block that came before is one that was sent again.
        if (packet.op !== 'data' || packet.block !== ((block + 1) & 0xffff)) return
        block += 1
        sizeBytes += packet.bytes.length
        acknowledge(block, port)
        if (packet.bytes.length < blockBytes) resolve(sizeBytes)
      })
      send()
      wait()
    })
  } finally {
    cancel()
    signal.removeEventListener('abort', leave)
    socket.close()
  }
}

/** Undefined for anything that is no packet of TFTP. */
function readTftp(bytes: Buffer): TftpPacket | undefined {
  try {
    return decodeTftp(bytes)
  } catch {
    return undefined
  }
}
