/** One read transfer, without sockets or clocks: (transfer, packet or silence) -> (transfer, packets to send).
 *  Options: blksize (RFC 2348), tsize and timeout (RFC 2349), windowsize (RFC 7440). */
import { printable } from '../../kit/text.ts'
import type { TftpPacket } from './packet.ts'

export interface Transfer {
  readonly file: Buffer
  readonly blockBytes: number
  readonly window: number
  /** How long to wait for the client before the last packets are sent again. */
  readonly timeoutMs: number
  /** The time-out that the client asked for, which holds from its first acknowledgement on. */
  readonly agreedTimeoutMs: number
  /** Blocks acknowledged so far, counted without wrapping. */
  readonly acked: number
  /** The client has acknowledged something: it is there, and its address is not forged. */
  readonly answered: boolean
  /** An OACK was sent and its ACK 0 has not come. */
  readonly waitingForOack: boolean
  readonly options: ReadonlyMap<string, string>
  readonly silences: number
}

export type Outcome =
  | { readonly state: 'going'; readonly transfer: Transfer; readonly send: readonly TftpPacket[] }
  /** `sizeOnly`: the client wanted to know the size, and took nothing. */
  | { readonly state: 'done'; readonly sizeOnly?: true }
  | { readonly state: 'failed'; readonly why: string }

const DEFAULT_BLOCK_BYTES = 512
const MIN_BLOCK_BYTES = 8
const MAX_BLOCK_BYTES = 65464
const MAX_WINDOW = 64
const MAX_SILENCES = 6
/** Who has not answered at all is given up sooner: a request may come from a forged address. */
const MAX_SILENCES_UNANSWERED = 3
const BLOCK_NUMBERS = 65536

export interface TransferLimits {
  /** 1468 fits an Ethernet frame; a bigger block would be cut into fragments, which PXE ROMs cannot join. */
  readonly maxBlockBytes: number
  /** For clients that ask for none, and for all until they have answered once. */
  readonly timeoutMs: number
  /** The longest time-out that a client may ask for. */
  readonly maxTimeoutMs: number
}

export function beginTransfer(file: Buffer, options: ReadonlyMap<string, string>, limits: TransferLimits): Outcome {
  const agreed = new Map<string, string>()
  const blksize = wholeNumber(options.get('blksize'), MIN_BLOCK_BYTES, MAX_BLOCK_BYTES)
  if (blksize !== undefined) agreed.set('blksize', String(Math.min(blksize, limits.maxBlockBytes)))
  if (options.has('tsize')) agreed.set('tsize', String(file.length))
  const seconds = wholeNumber(options.get('timeout'), 1, Math.min(255, Math.floor(limits.maxTimeoutMs / 1000)))
  if (seconds !== undefined) agreed.set('timeout', String(seconds))
  const windowsize = wholeNumber(options.get('windowsize'), 1, 65535)
  if (windowsize !== undefined) agreed.set('windowsize', String(Math.min(windowsize, MAX_WINDOW)))
  const transfer: Transfer = {
    file,
    options: agreed,
    blockBytes: Number(agreed.get('blksize') ?? DEFAULT_BLOCK_BYTES),
    window: Number(agreed.get('windowsize') ?? 1),
    timeoutMs: limits.timeoutMs,
    agreedTimeoutMs: seconds === undefined ? limits.timeoutMs : seconds * 1000,
    acked: 0,
    answered: false,
    waitingForOack: agreed.size > 0,
    silences: 0,
  }
  return going(transfer)
}

export function onPacket(transfer: Transfer, packet: TftpPacket): Outcome {
  if (packet.op === 'error') {
    // PXE ROMs ask for tsize and then break off with an error: that is how they read the size.
    return transfer.waitingForOack
      ? { state: 'done', sizeOnly: true }
      : { state: 'failed', why: `the client aborted: ${printable(packet.message, 100) || packet.code}` }
  }
  if (packet.op !== 'ack') return { state: 'going', transfer, send: [] }
  if (transfer.waitingForOack) {
    return packet.block === 0
      ? going({ ...heard(transfer), waitingForOack: false })
      : { state: 'going', transfer, send: [] }
  }
  const ahead = (packet.block - (transfer.acked % BLOCK_NUMBERS) + BLOCK_NUMBERS) % BLOCK_NUMBERS
  // A repeated or old ACK is not answered, or every packet would double for ever (Sorcerer's Apprentice, RFC 1123
  // 4.2.3.1). In a window, though, the ACK of its base says that its first block got lost (RFC 7440 section 4); the
  // silence timer resends it.
  if (ahead === 0 || ahead > transfer.window) return { state: 'going', transfer, send: [] }
  const acked = transfer.acked + ahead
  if (acked >= blockCount(transfer)) return { state: 'done' }
  return going({ ...heard(transfer), acked })
}

/** Nothing came for the transfer's time-out. */
export function onSilence(transfer: Transfer): Outcome {
  const silences = transfer.silences + 1
  if (!transfer.answered && silences > MAX_SILENCES_UNANSWERED)
    return { state: 'failed', why: 'the client did not answer' }
  if (silences > MAX_SILENCES)
    return {
      state: 'failed',
      why: `the client stopped answering after block ${transfer.acked} of ${blockCount(transfer)}`,
    }
  return going({ ...transfer, silences })
}

/** Always one more than the full blocks: a file that ends on a block border is closed by an empty block (RFC 1350
 *  section 6). */
export const blockCount = (transfer: Transfer): number => Math.floor(transfer.file.length / transfer.blockBytes) + 1

const heard = (transfer: Transfer): Transfer => ({
  ...transfer,
  answered: true,
  silences: 0,
  timeoutMs: transfer.agreedTimeoutMs,
})

function going(transfer: Transfer): Outcome {
  if (transfer.waitingForOack) return { state: 'going', transfer, send: [{ op: 'oack', options: transfer.options }] }
  const last = Math.min(transfer.acked + transfer.window, blockCount(transfer))
  const send: TftpPacket[] = []
  for (let block = transfer.acked + 1; block <= last; block += 1) {
    const from = (block - 1) * transfer.blockBytes
    send.push({
      op: 'data',
      block: block % BLOCK_NUMBERS,
      bytes: transfer.file.subarray(from, from + transfer.blockBytes),
    })
  }
  return { state: 'going', transfer, send }
}

/** An option outside its range is left out of the OACK, which tells the client that it does not hold (RFC 2347). */
function wholeNumber(text: string | undefined, min: number, max: number): number | undefined {
  if (text === undefined || !/^\d{1,9}$/.test(text)) return undefined
  const value = Number(text)
  return value >= min && value <= max ? value : undefined
}
