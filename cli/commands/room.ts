/** `rackward room ...` */
import type { Command } from 'commander'
import { onServer } from './server-options.ts'

const DAYS = ['--days <number>', 'for how long its certificate holds'] as const
const OUT = ['--out <file>', 'where the bundle goes, with mode 0600'] as const

export function roomCommands(program: Command): void {
  const room = program.command('room').description('boot rooms: DHCP, TFTP and HTTP of one rack, on a machine in it')
  const command = () => import('../rooms.ts')
  onServer(
    room
      .command('add')
      .argument('<name>')
      .requiredOption('--segment <name...>', 'what it serves, of rooms.segments in the configuration')
      .option(...DAYS)
      .requiredOption(...OUT)
      .description('add a boot room, and write what it is started with: its certificate, its key'),
  ).action(async (name: string, options) => (await command()).addRoom(name, options))
  onServer(room.command('list').description('list boot rooms')).action(async (options) =>
    (await command()).listRooms(options),
  )
  onServer(room.command('show').argument('<name>').description('show a boot room')).action(
    async (name: string, options) => (await command()).showRoom(name, options),
  )
  onServer(
    room
      .command('renew')
      .argument('<name>')
      .option(...DAYS)
      .requiredOption(...OUT)
      .description('write a new bundle for a boot room; the one of before holds until the new one is used'),
  ).action(async (name: string, options) => (await command()).renewRoom(name, options))
  onServer(
    room
      .command('remove')
      .argument('<name>')
      .description('remove a boot room: its certificate is refused from then on'),
  ).action(async (name: string, options) => (await command()).removeRoom(name, options))
}
