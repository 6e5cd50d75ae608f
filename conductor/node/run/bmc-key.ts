/** The key of a BMC that was seen for the first time goes into the record of its node, with an event that shows it to the operator. */
import type { Clock } from '../../../kit/clock.ts'
import type { Log } from '../../../kit/log.ts'
import type { BmcFacts } from '../../bmc/registry.ts'
import type { Worker } from './worker.ts'

export interface KeyParts {
  readonly worker: Pick<Worker, 'change'>
  readonly clock: Clock
  readonly log: Log
}

export async function keepKey({ worker, clock, log }: KeyParts, uuid: string, bmc: BmcFacts): Promise<void> {
  const detail = { origin: bmc.origin, pin: bmc.tlsPin }
  try {
    await worker.change(uuid, (node) => ({
      node: { ...node, bmc },
      moves: [],
      events: [{ atMs: clock.now(), nodeUuid: uuid, kind: 'bmc-key', detail }],
    }))
  } catch (error) {
    log.error({ node: uuid, err: error, ...detail }, 'the key of a BMC is not in the record')
  }
}
