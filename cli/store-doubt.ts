/** `rackward store doubt` and `rackward store accept`: a restored database that is older than what boot rooms know. */
import type { DoubtView } from '../conductor/api/store-schemas.ts'
import { connect, type Common } from './nodes.ts'
import { formatOf, print, said, show, tableOf } from './show.ts'

const PATH = '/rackward/v1/store/doubt'

export async function showDoubt(options: Common): Promise<void> {
  const doubt = (await (await connect(options)).ask('GET', PATH)) as DoubtView
  await show(doubt, formatOf(options.output), () => textOf(doubt))
}

/** What was said between the reading and the word is refused: nobody has seen it. */
export async function acceptStore(options: Common): Promise<void> {
  const server = await connect(options)
  const { revision } = (await server.ask('GET', PATH)) as DoubtView
  const { epoch } = (await server.ask('POST', `${PATH}/accept`, { revision })) as DoubtView
  print(`the database counts as it is, as incarnation ${epoch}; boot rooms are told it, and work goes on`)
}

function textOf({ in_doubt, waits_for, rooms, nodes, accepted }: DoubtView): string {
  if (!in_doubt) {
    const before = accepted ? `; ${said(accepted.by)} accepted it at ${accepted.at}` : ''
    return waits_for.length > 0
      ? `the conductor waits until its boot rooms have said what they know: ${waits_for.join(', ')}`
      : `nobody knows more than the database${before}`
  }
  const told = tableOf(
    ['who', 'knows it up to event', 'the database had', 'newer nodes', 'heard at'],
    rooms.map((one) => [
      one.who === 'conductor' ? `conductor ${one.room}` : `boot room ${one.room}`,
      `${one.seq} (incarnation ${one.epoch})`,
      String(one.last_seq),
      String(one.nodes),
      one.heard_at ?? '-',
    ]),
  )
  const list = tableOf(
    ['node', 'name', 'mac', 'version in the room', 'in the database', 'boot rooms'],
    nodes.map((one) => [
      one.uuid,
      one.name ?? '-',
      one.mac,
      String(one.held),
      one.recorded === null ? 'none' : String(one.recorded),
      one.rooms.join(', '),
    ]),
  )
  return [
    'the database is older than what is known of it; nothing is acted on:',
    told,
    nodes.length > 0 ? `nodes that it is wrong about:\n${list}` : 'the boot rooms know no node newer than the database',
    'restore a newer backup; or go on with this one: rackward store accept; or, where a boot room is wrong: rackward room remove NAME',
  ].join('\n\n')
}
