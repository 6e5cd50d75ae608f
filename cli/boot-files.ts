/** `rackward boot-files`: the process that sends files to nodes that boot, as the boot services start it. */
import { FileProcess } from '../conductor/boot/serving/server.ts'
import { systemClock } from '../kit/clock.ts'
import { giveWay, parentChannel } from '../kit/companion.ts'
import { Fault } from '../kit/fault.ts'

/** `nice` has set the same for all threads already; this is for the session. */
const NICENESS = 10

export async function runBootFiles(): Promise<void> {
  const channel = parentChannel()
  if (!channel) throw new Fault('input.invalid', 'only the boot services start this command (rackward boot)')
  channel.onGone(() => process.exit(0))
  await giveWay(NICENESS)
  new FileProcess(channel, systemClock).start()
}
