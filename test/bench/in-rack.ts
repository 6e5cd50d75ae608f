/** A virtual rack for one measurement, which is gone after it. */
import { Rack } from '../lab/rack.ts'

export async function inRack<T>(name: string, accel: 'kvm' | 'tcg', work: (rack: Rack) => Promise<T>): Promise<T> {
  const rack = new Rack(`${name}-${process.pid}`, `/var/tmp/rackward-${name}-${process.pid}`, accel)
  const stop = () => void rack.down().finally(() => process.exit(1))
  process.once('SIGINT', stop)
  try {
    await rack.up()
    return await work(rack)
  } finally {
    process.off('SIGINT', stop)
    await rack.down()
  }
}
