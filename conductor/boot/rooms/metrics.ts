/** Boot rooms in the conductor's metrics: whether they are connected, and when their certificates end. Read when they
 *  are asked for. */
import { Gauge, type Registry } from 'prom-client'
import { certificateEndMs } from './records.ts'
import type { DoubtKeeper } from '../../doubt/keeper.ts'
import type { Rooms } from './rooms.ts'

export function roomMetrics(registers: Registry[], rooms: Pick<Rooms, 'states'>): void {
  new Gauge({
    name: 'rackward_boot_room_connected',
    help: '1 for a boot room that is connected to a conductor, otherwise 0',
    labelNames: ['room'],
    registers,
    async collect() {
      const states = await rooms.states()
      this.reset()
      for (const { name, isConnected } of states) this.set({ room: name }, isConnected ? 1 : 0)
    },
  })
  new Gauge({
    name: 'rackward_boot_room_certificate_expires_timestamp_seconds',
    help: 'when the newest certificate of a boot room expires, in seconds since 1970',
    labelNames: ['room'],
    registers,
    async collect() {
      const states = await rooms.states()
      this.reset()
      for (const room of states) this.set({ room: room.name }, certificateEndMs(room) / 1000)
    },
  })
}

export function doubtMetrics(registers: Registry[], doubt: Pick<DoubtKeeper, 'now' | 'isOpen'>): void {
  new Gauge({
    name: 'rackward_store_trusted',
    help: '1 while this conductor acts; 0 while the database is older than what is known of it, or boot rooms were not heard yet',
    registers,
    collect() {
      this.set(doubt.isOpen ? 1 : 0)
    },
  })
  new Gauge({
    name: 'rackward_store_older_nodes',
    help: 'nodes of which a boot room knows more than the database, by room',
    labelNames: ['room'],
    registers,
    collect() {
      this.reset()
      for (const { room, who, count } of doubt.now.claims) if (who === 'room') this.set({ room }, count)
    },
  })
}
