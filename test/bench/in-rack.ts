/** A virtual rack for one measurement, which is gone after it. */
import { Rack } from '../lab/rack.ts'

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** Takes the rack down also when the measurement is ended half-way. */
export async function goneAfter<T>(rack: Pick<Rack, 'down'>, work: () => Promise<T>): Promise<T> {
  const stop = () => void rack.down().finally(() => process.exit(1))
  for (const signal of SIGNALS) process.once(signal, stop)
  try {
    return await work()
  } finally {
    for (const signal of SIGNALS) process.off(signal, stop)
    await rack.down()
  }
}

export async function inRack<T>(name: string, accel: 'kvm' | 'tcg', work: (rack: Rack) => Promise<T>): Promise<T> {
  const rack = new Rack(`${name}-${process.pid}`, `/var/tmp/rackward-${name}-${process.pid}`, accel)
  return goneAfter(rack, async () => {
    await rack.up()
    return work(rack)
  })
}
