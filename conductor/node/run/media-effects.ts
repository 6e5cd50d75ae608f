/** Carries out the effects of a boot from the boot ISO: inserts and ejects it, lets the firmware fetch it, and waits
 *  until it was asked for. Each may be repeated and has the same end. */
import { until, type Clock } from '../../../kit/clock.ts'
import { Fault, isFault } from '../../../kit/fault.ts'
import { partOf, type Bmc } from '../../bmc/controller.ts'
import type { BmcQueue } from '../../bmc/queue.ts'
import type { BmcRegistry } from '../../bmc/registry.ts'
import { staticNetwork, type BootSubnet } from '../../boot/network-data.ts'
import type { Store } from '../../store/port.ts'
import { bootPlanOf } from '../workflow/boot-plans.ts'
import { OVERRIDE_IGNORED, type Sightings } from '../query/sightings.ts'
import type { Effect } from '../effect.ts'
import type { NodeRecord } from '../record.ts'

export interface MediaEffectsParts {
  readonly bmcs: BmcRegistry
  readonly bmcQueue: BmcQueue
  readonly store: Pick<Store, 'ports'>
  readonly sightings: Sightings
  readonly clock: Clock
  readonly subnets: readonly BootSubnet[]
  /** Where the BMC of a node fetches the boot ISO of its present boot. Throws `node.unsupported` where none is
   *  served. */
  readonly urlOf: (node: NodeRecord) => string
  /** How long after power-on the image may not be asked for. */
  readonly askedTimeoutMs: number
}

export type MediaEffect = Extract<Effect, { do: 'media' | 'media-asked' | 'http-boot' }>

const EVERY_PORT = { limit: 1000, sortKey: 'id', descending: false } as const
const LOOK_MS = 200
/** An ejection and an insertion, in each of several drives. */
const ACT_TIMEOUT_MS = 180_000

export class MediaEffects {
  private readonly parts: MediaEffectsParts

  constructor(parts: MediaEffectsParts) {
    this.parts = parts
  }

  async perform(effect: MediaEffect, node: NodeRecord, signal: AbortSignal): Promise<void> {
    switch (effect.do) {
      case 'media':
        return effect.put === null ? this.eject(node, signal) : this.insert(node, signal)
      case 'http-boot': {
        const url = await this.url(node)
        return this.act(node, signal, (bmc, act) => partOf(bmc, 'httpBoot').bootOnce(url, act))
      }
      case 'media-asked':
        return this.asked(node, signal)
    }
  }

  private async insert(node: NodeRecord, signal: AbortSignal): Promise<void> {
    const url = await this.url(node)
    await this.act(node, signal, (bmc, act) => partOf(bmc, 'media').insert({ url, kind: 'cd' }, act))
  }

  private eject = (node: NodeRecord, signal: AbortSignal): Promise<void> =>
    this.act(node, signal, (bmc, act) => partOf(bmc, 'media').eject('cd', act))

  /** Throws `node.network-data` for a node whose ramdisk would have no address. */
  private async url(node: NodeRecord): Promise<string> {
    const ports = await this.parts.store.ports({ nodeUuid: node.uuid }, EVERY_PORT)
    staticNetwork(node, ports, this.parts.subnets)
    return this.parts.urlOf(node)
  }

  /** The last proof that a BMC or the firmware has the image, and the only one that it cannot make up. */
  private async asked(node: NodeRecord, signal: AbortSignal): Promise<void> {
    const { sightings, clock, askedTimeoutMs } = this.parts
    const seen = async () => (sightings.look(node.uuid).seen.has('media') ? true : undefined)
    const wait = { what: 'the boot ISO to be asked for', timeoutMs: askedTimeoutMs, everyMs: LOOK_MS, clock, signal }
    await until(seen, wait).catch((error: unknown) => {
      signal.throwIfAborted()
      if (isFault(error)) throw error
      throw neverAsked(node, askedTimeoutMs / 1000)
    })
  }

  private act(
    node: NodeRecord,
    signal: AbortSignal,
    work: (bmc: Bmc, signal: AbortSignal) => Promise<void>,
  ): Promise<void> {
    const { bmcs, bmcQueue } = this.parts
    const priority = node.targetPowerState ? 'operator' : 'deploy'
    return bmcQueue.run(bmcs.target(node), { priority, timeoutMs: ACT_TIMEOUT_MS, signal }, work)
  }
}

function neverAsked(node: NodeRecord, seconds: number): Fault {
  const when = `within ${seconds} s of power-on (boot.mediaSeconds)`
  if (bootPlanOf(node).toRamdisk.some((effect) => effect.do === 'http-boot'))
    return new Fault(
      'bmc.http-boot',
      `the firmware never asked for the image: it was not fetched ${when}, although the BMC shows its URL for the next boot; either the firmware does not reach it, or ${OVERRIDE_IGNORED}`,
    )
  return new Fault(
    'bmc.media',
    `the BMC never asked for the image: it was not fetched ${when}, although the BMC shows it as inserted; either it does not reach its URL, or ${OVERRIDE_IGNORED}`,
  )
}
