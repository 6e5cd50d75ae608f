/** The event log of the firmware -> events (TCG PC Client Platform Firmware Profile 1.05, section 10; the crypto-agile
 *  form). It comes from the server that is to be judged: everything is bounded, and what is cut or odd is refused. */
import { createHash } from 'node:crypto'
import { Fault } from '../../kit/fault.ts'
import { Reader } from './reader.ts'

export interface LogEvent {
  readonly pcr: number
  readonly type: number
  /** SHA-256. */
  readonly digest: Buffer
  readonly data: Buffer
}

export const EVENT = {
  noAction: 0x00000003,
  ipl: 0x0000000d,
  bootApplication: 0x80000003,
  runtimeDriver: 0x80000005,
} as const

const SEPARATORS = ['00000000', 'ffffffff'].map((value) =>
  createHash('sha256').update(Buffer.from(value, 'hex')).digest(),
)

/** The mark that firmware sets in a PCR before it starts what is not its own. The type in the log is not signed, so the
 *  digest alone says that it is one. */
export const isSeparator = ({ digest }: Pick<LogEvent, 'digest'>): boolean =>
  SEPARATORS.some((one) => one.equals(digest))

/** TPM_ALG_ID -> size of its digests. */
const DIGESTS: ReadonlyMap<number, number> = new Map([
  [0x0004, 20],
  [0x000b, 32],
  [0x000c, 48],
  [0x000d, 64],
  [0x0012, 32],
])
const SHA1_BYTES = 20
const SHA256 = 0x000b
const SHA256_BYTES = 32
const SIGNATURE = 'Spec ID Event03\0'
const MAX_PCR = 23
const MAX_ALGORITHMS = 8

export interface LogLimits {
  readonly bytes: number
  readonly events: number
}

/** Throws `tpm.log`. */
export function parseEventLog(log: Buffer, limits: LogLimits): LogEvent[] {
  if (log.length === 0) throw new Fault('tpm.log', 'the event log is empty')
  if (log.length > limits.bytes)
    throw new Fault('tpm.log', `the event log has ${log.length} bytes, more than ${limits.bytes}`)
  const reader = new Reader(log, { code: 'tpm.log', what: 'the event log' })
  const algorithms = readHead(reader)
  const events: LogEvent[] = []
  while (!reader.isAtEnd) {
    if (events.length >= limits.events) throw reader.fault(`it has more than ${limits.events} events`)
    events.push(readEvent(reader, algorithms))
  }
  return events
}

/** The first event is in the old form, and says which digests the others have. */
function readHead(reader: Reader): ReadonlySet<number> {
  const pcr = reader.u32le()
  const type = reader.u32le()
  reader.take(SHA1_BYTES)
  const data = new Reader(reader.take(reader.u32le()), { code: 'tpm.log', what: 'the first event of the event log' })
  if (pcr !== 0 || type !== EVENT.noAction || data.take(SIGNATURE.length).toString('latin1') !== SIGNATURE)
    throw reader.fault('it does not begin with "Spec ID Event03", as logs of TPM 2.0 do')

  data.take(8)
  const count = data.u32le()
  if (count === 0 || count > MAX_ALGORITHMS) throw data.fault(`it names ${count} algorithms of digests`)
  const algorithms = new Set<number>()
  for (let i = 0; i < count; i += 1) {
    const id = data.u16le()
    const size = data.u16le()
    if (DIGESTS.get(id) !== size)
      throw data.fault(`digests of the algorithm 0x${id.toString(16)} have no ${size} bytes`)
    algorithms.add(id)
  }
  data.take(data.u8())
  data.end()
  if (!algorithms.has(SHA256))
    throw data.fault('it has no SHA-256 digests: switch the SHA-256 bank of the TPM on in the setup of the firmware')
  return algorithms
}

function readEvent(reader: Reader, algorithms: ReadonlySet<number>): LogEvent {
  const pcr = reader.u32le()
  const type = reader.u32le()
  if (pcr > MAX_PCR) throw reader.fault(`an event is of PCR ${pcr}`)
  const count = reader.u32le()
  if (count > MAX_ALGORITHMS) throw reader.fault(`an event has ${count} digests`)
  let digest: Buffer | undefined
  for (let i = 0; i < count; i += 1) {
    const id = reader.u16le()
    const size = DIGESTS.get(id)
    if (size === undefined || !algorithms.has(id))
      throw reader.fault(`an event has a digest that its head does not name`)
    const bytes = reader.take(size)
    if (id === SHA256 && digest) throw reader.fault('an event has two SHA-256 digests')
    if (id === SHA256) digest = bytes
  }
  if (!digest || digest.length !== SHA256_BYTES) throw reader.fault('an event has no SHA-256 digest')
  return { pcr, type, digest, data: reader.take(reader.u32le()) }
}
