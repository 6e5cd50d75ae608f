/** How big a record may become by what users put into it. Pure; throws the refusal, which names the biggest field. */
import { Fault } from '../../../kit/fault.ts'
import type { DriveContent } from '../../store/port.ts'
import type { PortRecord } from '../../store/port.ts'
import type { NodeRecord } from '../record.ts'
import { driveFormat } from './drive-form.ts'

type Fields = Readonly<Record<string, unknown>>

/** The fields of a node that have no limit of their own, by their wire names. */
const ofNode = (node: NodeRecord): Fields => ({
  driver_info: node.driverInfo,
  instance_info: node.instanceInfo,
  properties: node.properties,
  extra: node.extra,
  network_data: node.networkData,
  traits: node.traits,
  vifs: node.vifs,
  steps: node.workflow.steps,
})

const ofPort = (port: PortRecord): Fields => ({
  extra: port.extra,
  internal_info: port.internalInfo,
  local_link_connection: port.localLinkConnection,
})

const bytesOf = (value: unknown) => Buffer.byteLength(JSON.stringify(value) ?? '')
const totalOf = (fields: Fields) => Object.values(fields).reduce<number>((sum, value) => sum + bytesOf(value), 0)

/** What is too big already may stay, and become smaller. */
export function checkSize(what: string, next: Fields, at: { before?: Fields; limitBytes: number }): void {
  const total = totalOf(next)
  if (total <= at.limitBytes || (at.before && total <= totalOf(at.before))) return
  const [field, bytes] = Object.entries(next)
    .map(([name, value]) => [name, bytesOf(value)] as const)
    .reduce((a, b) => (b[1] > a[1] ? b : a))
  throw new Fault(
    'input.invalid',
    `${field}: it has ${bytes} bytes, and the record of ${what} would have ${total}; ${at.limitBytes} are allowed`,
  )
}

export const checkNodeSize = (next: NodeRecord, at: { before?: NodeRecord; limitBytes: number }): void =>
  checkSize(`node ${next.uuid}`, ofNode(next), {
    limitBytes: at.limitBytes,
    ...(at.before ? { before: ofNode(at.before) } : {}),
  })

export const checkPortSize = (next: PortRecord, at: { before?: PortRecord; limitBytes: number }): void =>
  checkSize(`port ${next.uuid}`, ofPort(next), {
    limitBytes: at.limitBytes,
    ...(at.before ? { before: ofPort(at.before) } : {}),
  })

/** Throws for what is no config drive, or is too big for one. */
export function checkDrive(given: unknown, limitBytes: number): DriveContent {
  const isText = typeof given === 'string' && /^[A-Za-z0-9+/=\s]+$/.test(given)
  if (!isText && (typeof given !== 'object' || given === null || Array.isArray(given)))
    throw new Fault(
      'input.invalid',
      'configdrive: it is an object, or the base64 of a gzipped ISO; a URL is taken in the request that deploys, and not in instance_info',
    )
  const bytes = isText ? Math.floor((given.length * 3) / 4) : bytesOf(given)
  if (bytes > limitBytes)
    throw new Fault('input.invalid', `configdrive: it has ${bytes} bytes; ${limitBytes} are allowed`)
  if (!isText) driveFormat(given as Record<string, unknown>)
  return given as DriveContent
}
