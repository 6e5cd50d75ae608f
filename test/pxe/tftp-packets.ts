/** What a transfer sends, cut into packets as the kernel cuts it. */
import { framesOf, packetBytes } from '../../pxe/tftp/frames.ts'
import { DATA, type TftpPacket } from '../../pxe/tftp/packet.ts'
import type { Sending, Transfer } from '../../pxe/tftp/transfer.ts'

export function packetsOf(transfer: Transfer, sending: Sending): TftpPacket[] {
  if (sending === 'oack') return [{ op: 'oack', options: transfer.options }]
  const [row, each] = [framesOf(transfer, sending), packetBytes(transfer)]
  return Array.from({ length: Math.ceil(row.length / each) }, (_, i) => {
    const packet = row.subarray(i * each, (i + 1) * each)
    if (packet.readUInt16BE(0) !== DATA) throw new Error(`packet ${i} of the row is no DATA packet`)
    return { op: 'data', block: packet.readUInt16BE(2), bytes: packet.subarray(4) }
  })
}
