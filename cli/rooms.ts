/** `rackward room ...`: boot rooms of a conductor, and the bundles that they are started with. */
import { access } from 'node:fs/promises'
import type { BundleView, RoomView } from '../conductor/api/rooms.ts'
import { writeWhole } from '../kit/files.ts'
import { CliError } from './error.ts'
import { connect, enc, type Common } from './nodes.ts'
import { formatOf, pairs, print, said, show, tableOf } from './show.ts'

interface BundleOptions extends Common {
  readonly out: string
  readonly days?: string
}

const PATH = '/rackward/v1/rooms'

export async function addRoom(name: string, options: BundleOptions & { segment: string[] }): Promise<void> {
  const body = { name, segments: options.segment, ...daysOf(options) }
  await writeBundle(options, PATH, body)
}

export async function renewRoom(name: string, options: BundleOptions): Promise<void> {
  await writeBundle(options, `${PATH}/${enc(name)}/certificate`, daysOf(options))
}

export async function listRooms(options: Common): Promise<void> {
  const { rooms } = (await (await connect(options)).ask('GET', PATH)) as { rooms: RoomView[] }
  await show(rooms, formatOf(options.output), () =>
    rooms.length === 0
      ? 'there are no boot rooms; add one with: rackward room add'
      : tableOf(
          ['room', 'state', 'segments', 'address', 'heard of', 'certificate until'],
          rooms.map((room) => [
            room.name,
            room.connected ? 'connected' : 'away',
            room.segments.join(', '),
            room.address ?? '-',
            room.heard_at ?? 'never',
            room.expires_at,
          ]),
        ),
  )
}

export async function showRoom(name: string, options: Common): Promise<void> {
  const room = (await (await connect(options)).ask('GET', `${PATH}/${enc(name)}`)) as RoomView
  await show(room, formatOf(options.output), () =>
    pairs([
      ['name', room.name],
      ['state', room.connected ? 'connected' : 'away'],
      ['segments', room.segments.join(', ')],
      ['address', room.address],
      ['heard_at', room.heard_at ?? 'never'],
      ['expires_at', room.expires_at],
      ['created_at', room.created_at],
    ]),
  )
}

export async function removeRoom(name: string, options: Common): Promise<void> {
  await (await connect(options)).ask('DELETE', `${PATH}/${enc(name)}`)
  print(`boot room ${name} is removed; stop it on its machine`)
}

/** Its place is looked at first: the key is shown once. */
async function writeBundle(options: BundleOptions, path: string, body: Record<string, unknown>): Promise<void> {
  const isThere = await access(options.out).then(
    () => true,
    () => false,
  )
  if (isThere) throw new CliError('usage', `${options.out} is there already: name another file, or remove it`)
  const bundle = (await (await connect(options)).ask('POST', path, body)) as BundleView
  const { room, pins, cert, key, expires_at: expiresAt } = bundle
  await writeWhole(options.out, `${JSON.stringify({ room, pins, cert, key, expiresAt }, null, 2)}\n`)
  print(
    `${options.out} holds the key of boot room ${said(room)}, until ${said(expiresAt)}; bring it to its machine, and start there:`,
  )
  print(
    `rackward boot --room ${said(room)} --conductor https://CONDUCTOR:PORT --bundle ${options.out} --interface NAME=ADDRESS`,
  )
}

function daysOf({ days }: BundleOptions): { days?: number } {
  if (days === undefined) return {}
  if (!/^\d{1,4}$/.test(days)) throw new CliError('usage', `--days ${days}: is no number of days`)
  return { days: Number(days) }
}
