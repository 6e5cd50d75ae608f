/** Does what guest control says, and answers how that ended. Never rejects. */
import type { Log } from '../../kit/log.ts'
import type { Gate } from './gate.ts'
import type { GuestCommand, GuestEvent } from './guest-control.ts'
import type { Guests } from './guests.ts'

export function guestPerformer(parts: {
  gate: Pick<Gate, 'open'>
  guests: Guests
  log: Log
}): (command: GuestCommand) => Promise<GuestEvent> {
  const { gate, guests, log } = parts
  const count = () => guests.count().catch(() => null)

  const perform = async (command: GuestCommand): Promise<GuestEvent> => {
    switch (command) {
      case 'count':
        return { type: 'counted', guests: await count() }
      case 'open gate':
        await gate.open()
        log.info('the gate is open: an arbiter let this boot in')
        return { type: 'done', command: command }
      case 'start':
        await guests.onOpen()
        return { type: 'done', command: command }
      case 'stop':
        log.warn('an arbiter asks for it: the guests are stopped, and this host may be switched off')
        await guests.stopAll()
        return { type: 'stopped', guests: await count() }
      case 'refresh':
        await guests.refresh()
        return { type: 'done', command: command }
    }
  }

  return (command) =>
    perform(command).catch((error: unknown) => {
      log.warn({ err: error, command }, FAILED[command])
      return { type: 'failed' } as const
    })
}

const FAILED: Readonly<Record<GuestCommand, string>> = {
  count: 'the guests of this host cannot be counted',
  'open gate': 'the gate cannot be opened',
  start: 'the guests of this host cannot be started yet',
  stop: 'the guests of this host cannot be stopped',
  refresh: 'the definitions of the guests were not exported',
}
