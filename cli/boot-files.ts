/** `rackward boot-files`: the process that sends files to nodes that boot, as the boot services start it. */
import { FileProcess } from '../conductor/boot/serving/server.ts'
import { systemClock } from '../kit/clock.ts'
import { parentChannel } from '../kit/companion.ts'
import { Fault } from '../kit/fault.ts'

export function runBootFiles(): void {
  const channel = parentChannel()
  if (!channel) throw new Fault('input.invalid', 'only the boot services start this command (rackward boot)')
  channel.onGone(() => process.exit(0))
  new FileProcess(channel, systemClock).start()
}
