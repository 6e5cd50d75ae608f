/** One read transfer, without sockets or clocks: (transfer, packet or silence) -> (transfer, what to send). Options:
 *  blksize (RFC 2348), tsize and timeout (RFC 2349), windowsize (RFC 7440). */
import { printable } from '../../kit/text.ts'
import type { TftpPacket } from './packet.ts'

export interface Transfer {
  readonly file: Buffer
  readonly blockBytes: number
  readonly window: number
  /** The longest wait for the client before the last packets are sent again; as many of these end the transfer. */
  readonly timeoutMs: number
  /** How long to wait now: as the client's answers take, or the time-out that it asked for. */
  readonly waitMs: number
  /** How long its answers take, smoothed. */
  readonly roundTripMs: number | undefined
  /** Blocks after `acked` were sent again, or are sent because some were lost: what comes for them measures no time,
   *  and one more word that they are missing changes nothing. */
  readonly resent: boolean
  /** The time-out that the client asked for, which holds from its first acknowledgement on. */
  readonly agreedTimeoutMs: number | undefined
  /** Blocks acknowledged so far, counted without wrapping. */
  readonly acked: number
  /** The client has acknowledged something: it is there, and its address is not forged. */
  readonly answered: boolean
  /** An OACK was sent and its ACK 0 has not come. */
  readonly waitingForOack: boolean
  readonly options: ReadonlyMap<string, string>
  readonly silences: number
}

/** The answer to the options, or `count` blocks from number `first` on, which is counted without wrapping. */
export type Sending = 'oack' | { readonly first: number; readonly count: number }

export type Outcome =
  | { readonly state: 'going'; readonly transfer: Transfer; readonly send?: Sending }
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
/** They wrap. */
export const BLOCK_NUMBERS = 65536
/** Waits are so many round trips long, and not shorter than this. */
const ROUND_TRIPS = 4
const MIN_WAIT_MS = 50

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
    waitMs: limits.timeoutMs,
    roundTripMs: undefined,
    resent: false,
    agreedTimeoutMs: seconds === undefined ? undefined : seconds * 1000,
    acked: 0,
    answered: false,
    waitingForOack: agreed.size > 0,
    silences: 0,
  }
  return going(transfer)
}

/** `tookMs`: since the last packets were sent. */
export function onPacket(transfer: Transfer, packet: TftpPacket, tookMs = transfer.timeoutMs): Outcome {
  if (packet.op === 'error') {
    // PXE ROMs ask for tsize and then break off with an error: that is how they read the size.
    return transfer.waitingForOack
      ? { state: 'done', sizeOnly: true }
      : { state: 'failed', why: `the client aborted: ${printable(packet.message, 100) || packet.code}` }
  }
  if (packet.op !== 'ack') return { state: 'going', transfer }
  if (transfer.waitingForOack) {
    if (packet.block !== 0) return { state: 'going', transfer }
    const next = heard(transfer, tookMs)
    next.waitingForOack = false
    next.resent = false
    return going(next)
  }
  const ahead = (packet.block - (transfer.acked % BLOCK_NUMBERS) + BLOCK_NUMBERS) % BLOCK_NUMBERS
  const sent = lastBlock(transfer) - transfer.acked
  if (ahead > sent) return { state: 'going', transfer }
  // A repeated or old ACK is not answered, or every packet would double for ever (Sorcerer's Apprentice, RFC 1123
  // 4.2.3.1). In a window, though, the ACK of its base says that its first block got lost (RFC 7440 section 4): that is
  // believed once.
  if (ahead === 0) {
    if (transfer.window === 1 || transfer.resent) return { state: 'going', transfer }
    const next = heard(transfer, undefined)
    next.resent = true
    return going(next)
  }
  const acked = transfer.acked + ahead
  if (acked >= blockCount(transfer)) return { state: 'done' }
  // An ACK inside the window says that what follows it got lost.
  const isWhole = ahead === sent
  const next = heard(transfer, isWhole ? tookMs : undefined)
  next.acked = acked
  next.resent = !isWhole
  return going(next)
}

/** Nothing came for as long as the transfer waits. */
export function onSilence(transfer: Transfer): Outcome {
  const { timeoutMs, waitMs } = transfer
  if (waitMs < timeoutMs) return going({ ...transfer, resent: true, waitMs: Math.min(2 * waitMs, timeoutMs) })
  const silences = transfer.silences + 1
  if (!transfer.answered && silences > MAX_SILENCES_UNANSWERED)
    return { state: 'failed', why: 'the client did not answer' }
  if (silences > MAX_SILENCES)
    return {
      state: 'failed',
      why: `the client stopped answering after block ${transfer.acked} of ${blockCount(transfer)}`,
    }
  return going({ ...transfer, resent: true, silences })
}

/** Always one more than the full blocks: a file that ends on a block border is closed by an empty block (RFC 1350
 *  section 6). */
export const blockCount = (transfer: Transfer): number => Math.floor(transfer.file.length / transfer.blockBytes) + 1

/** The last block that the client may be sent before it acknowledges. */
const lastBlock = (transfer: Transfer): number => Math.min(transfer.acked + transfer.window, blockCount(transfer))

type Next = { -readonly [Name in keyof Transfer]: Transfer[Name] }

/** Made for each acknowledgement: a spread of as many fields takes V8 ten times as long. */
const copyOf = (of: Transfer): Next => ({
  file: of.file,
  blockBytes: of.blockBytes,
  window: of.window,
  timeoutMs: of.timeoutMs,
  waitMs: of.waitMs,
  roundTripMs: of.roundTripMs,
  resent: of.resent,
  agreedTimeoutMs: of.agreedTimeoutMs,
  acked: of.acked,
  answered: of.answered,
  waitingForOack: of.waitingForOack,
  options: of.options,
  silences: of.silences,
})

/** The client answered. A wait that became longer stays so until an answer is timed again (Karn's algorithm). */
function heard(transfer: Transfer, tookMs: number | undefined): Next {
  const next = copyOf(transfer)
  next.answered = true
  next.silences = 0
  next.timeoutMs = transfer.agreedTimeoutMs ?? transfer.timeoutMs
  if (transfer.agreedTimeoutMs !== undefined) next.waitMs = next.timeoutMs
  else if (!transfer.resent && tookMs !== undefined) {
    next.roundTripMs = transfer.roundTripMs === undefined ? tookMs : (7 * transfer.roundTripMs + tookMs) / 8
    next.waitMs = Math.min(Math.max(ROUND_TRIPS * next.roundTripMs, MIN_WAIT_MS), next.timeoutMs)
  }
  return next
}

function going(transfer: Transfer): Outcome {
  if (transfer.waitingForOack) return { state: 'going', transfer, send: 'oack' }
  const first = transfer.acked + 1
  return { state: 'going', transfer, send: { first, count: lastBlock(transfer) - transfer.acked } }
}

/** An option outside its range is left out of the OACK, which tells the client that it does not hold (RFC 2347). */
function wholeNumber(text: string | undefined, min: number, max: number): number | undefined {
  if (text === undefined || !/^\d{1,9}$/.test(text)) return undefined
  const value = Number(text)
  return value >= min && value <= max ? value : undefined
}
