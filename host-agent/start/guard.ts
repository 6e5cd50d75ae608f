/** The guard of a host's guests: runs guest control, performs what it says, and keeps the node's report of itself. */
import type { StorageHeartbeat } from '../probe/storage-heartbeat.ts'
import { GuestControl, type GuestEvent } from '../guard/guest-control.ts'
import { Gate } from '../guard/gate.ts'
import { guestPerformer } from '../guard/perform.ts'
import { isStrained } from '../guard/pressure.ts'
import type { SelfReport } from '../protocol/heartbeat.ts'
import { guestsOf } from './adapters.ts'
import { every, type Context } from './context.ts'

const REPORT_MS = 500

export async function openGate({ config }: Context, bootId: string): Promise<Gate> {
  const gate = new Gate(config.role === 'host' ? (config.gate?.file ?? null) : null, bootId)
  await gate.look()
  return gate
}

export function firstReport({ config }: Context, gate: Gate): SelfReport {
  return {
    state: gate.now === 'closed' ? 'quarantined' : 'member',
    lagMs: 0,
    storageLost: false,
    guests: null,
    consents: false,
    gate: config.role === 'host' ? gate.now : 'none',
    watchdogMs: config.watchdog ? config.watchdog.timeoutSeconds * 1000 : null,
  }
}

export interface Guard {
  /** What the node says of itself now. */
  readonly report: SelfReport
  readonly onOrder: (order: 'open gate' | 'stop guests') => void
  /** It says that it leaves from now on. */
  leave(): void
}

export async function startGuard(
  context: Context,
  gate: Gate,
  parts: {
    first: SelfReport
    storage: Pick<StorageHeartbeat, 'lost'> | undefined
    onReport: (report: SelfReport) => void
  },
): Promise<Guard> {
  const { config, clock, log, run } = context
  const control = new GuestControl({ gate: gate.now, isHost: config.role === 'host' })
  const perform = guestPerformer({ gate, guests: guestsOf(config, { run, log }), log })
  let report = parts.first
  const storageLost = () => parts.storage?.lost ?? false

  const show = (change: Partial<SelfReport> = {}) => {
    const { gate: gateState, guests, consents } = control
    const state = gateState === 'closed' ? 'quarantined' : 'member'
    const current = { state, gate: gateState, guests, consents, storageLost: storageLost() } as const
    report = { ...report, ...current, ...(report.state === 'leaving' ? { state: report.state } : {}), ...change }
    parts.onReport(report)
  }
  const onEvent = (event: GuestEvent) => {
    for (const command of control.on(event, clock.now())) void perform(command).then(onEvent)
    show()
  }

  await every(context, { name: 'guard', everyMs: REPORT_MS }, async () => {
    report = { ...report, strained: await isStrained() }
    onEvent({ type: 'tick', storageLost: storageLost() })
  })
  return {
    get report() {
      return report
    },
    onOrder: (order) => onEvent({ type: 'ordered', order }),
    leave: () => show({ state: 'leaving' }),
  }
}
