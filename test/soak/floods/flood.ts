/** What a flood is: it sends as fast as it can until it is told to stop, and answers how much it sent. */
import { pause } from '../pause.ts'

export interface Target {
  /** `http://127.0.0.1:6385` */
  readonly api: string
  /** Where agents call: host and port. */
  readonly agents: { readonly host: string; readonly port: number }
  /** The boot services: their address, and the HTTP port. */
  readonly boot: { readonly host: string; readonly httpPort: number }
  /** Nodes that the user "tenant" leases. */
  readonly tenantNodes: readonly string[]
  /** A node that is active and on, which nobody may switch off. */
  readonly decoy: string
  /** A MAC that has a port. */
  readonly knownMac: string
}

export interface Flood {
  readonly name: string
  /** Sent from the namespace of strangers, over the wire. */
  readonly fromWire?: true
  run(target: Target, signal: AbortSignal): Promise<number>
}

/** Runs `job` in `count` lanes until `signal`; a job that fails counts, and waits a moment. Answers how many jobs were
 *  run. */
export async function lanes(count: number, signal: AbortSignal, job: (i: number) => Promise<unknown>): Promise<number> {
  let next = 0
  const ended = new Promise<void>((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
  const lane = async () => {
    while (!signal.aborted) {
      next += 1
      await Promise.race([job(next).catch(() => pause(50)), ended])
    }
  }
  await Promise.all(Array.from({ length: count }, lane))
  return next
}
