/** Why a node whose boot rooms are away is not booted: its orders reach no room, or nobody serves its segment. Pure. */
import { isoTime } from '../../../kit/clock.ts'
import { isLocked, type NodeRecord } from '../record.ts'
import type { Cause } from './account.ts'

/** A segment in which a node has a port, and the boot rooms that are to serve it. */
export interface SegmentSeen {
  readonly name: string
  readonly rooms: readonly {
    readonly name: string
    readonly isConnected: boolean
    /** When any conductor heard of it last; null: none ever did. */
    readonly heardAtMs: number | null
  }[]
}

export const causesOfRooms = (node: NodeRecord, segments: readonly SegmentSeen[]): Cause[] =>
  isLocked(node) || node.workflow.deadlineMs !== null
    ? segments.filter(({ rooms }) => !rooms.some(({ isConnected }) => isConnected)).map(causeOfSegment)
    : []

function causeOfSegment({ name, rooms }: SegmentSeen): Cause {
  if (rooms.length === 0)
    return {
      cause: `no boot room serves the segment ${name}: nothing there answers the network boot of this node`,
      evidence: [`a port of the node has physical_network ${name}, and no boot room was added for it`],
      remedy: `"rackward room add NAME --segment ${name}", and start "rackward boot --room NAME" in that rack`,
    }
  return {
    cause: `no boot room of the segment ${name} is connected: the node is answered what the rooms knew before`,
    evidence: rooms.map((room) =>
      room.heardAtMs === null
        ? `${room.name} was never connected`
        : `${room.name} was heard last at ${isoTime(room.heardAtMs)}`,
    ),
    remedy: `see whether "rackward boot --room ${rooms[0]?.name ?? ''}" runs, and whether it reaches the port of rooms.listen`,
  }
}
