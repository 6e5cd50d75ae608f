/** Totals of the boot services -> counters for Prometheus. The boot services may start anew, and their totals with
 *  them; the counters here only grow. */
import { Counter, type Registry } from 'prom-client'
import { BOOT_LIMITS, OUTCOMES, type BootServiceName, type BootTotals } from './counters.ts'

export type OnBootTotals = (totals: BootTotals) => void

/** `limits`: the counter of all limits of the conductor, which those of the boot services join. */
export function bootMetrics(registers: Registry[], limits: Counter<'limit'>): OnBootTotals {
  const requests = new Counter({
    name: 'rackward_boot_requests_total',
    help: 'requests to the boot services, by service (dhcp, tftp, http) and how they ended',
    labelNames: ['service', 'outcome'],
    registers,
  })
  let before: BootTotals | undefined
  return (totals) => {
    // Names are those that are known here, and values are numbers that grew: whatever was sent, no other series is
    // made.
    for (const service of Object.keys(OUTCOMES) as BootServiceName[])
      for (const outcome of OUTCOMES[service])
        requests.inc(
          { service, outcome },
          growth(totals.requests?.[service]?.[outcome], before?.requests?.[service]?.[outcome]),
        )
    for (const limit of BOOT_LIMITS) limits.inc({ limit }, growth(totals.limits?.[limit], before?.limits?.[limit]))
    before = totals
  }
}

/** A total that is smaller than before is of a process that began since. */
function growth(now: unknown, before: unknown): number {
  const [to, from] = [counted(now), counted(before)]
  return to >= from ? to - from : to
}

const counted = (value: unknown): number =>
  Number.isSafeInteger(value) && (value as number) > 0 ? (value as number) : 0
