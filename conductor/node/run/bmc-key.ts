/** The key of a BMC that was seen for the first time goes into the record of its node, with an event that shows it to
 *  the operator. */
import type { Clock } from '../../../kit/clock.ts'
import type { Log } from '../../../kit/log.ts'
import type { BmcFacts } from '../../bmc/registry.ts'
import type { Worker } from './worker.ts'

export interface KeyParts {
  readonly worker: Pick<Worker, 'change'>
  readonly clock: Clock
  readonly log: Log
}

/** A key that is in the record already stays: two connections that were both the first saw two keys, and the other one
 *  is a fault of its own. */
export async function keepKey({ worker, clock, log }: KeyParts, uuid: string, bmc: BmcFacts): Promise<void> {
  const detail = { origin: bmc.origin, pin: bmc.tlsPin }
  const event = { atMs: clock.now(), nodeUuid: uuid, kind: 'bmc-key', detail }
  try {
    await worker.change(uuid, (node) => {
      const kept = node.bmc?.origin === bmc.origin ? node.bmc.tlsPin : null
      if (kept === null) return { node: { ...node, bmc }, moves: [], events: [event] }
      if (kept !== bmc.tlsPin)
        log.error({ node: uuid, ...detail, kept }, 'two first connections to a BMC saw two keys; the first one is kept')
      return node
    })
  } catch (error) {
    log.error({ node: uuid, err: error, ...detail }, 'the key of a BMC is not in the record')
  }
}
