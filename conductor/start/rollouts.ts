/** Roll-outs of rack files: one conductor carries them on. */
import { ANYBODY, type Actor, type Authenticator } from '../api/auth.ts'
import { internalRequests } from '../api/internal.ts'
import { rackNode } from '../api/rack.ts'
import type { Route } from '../api/route.ts'
import type { NodeService } from '../node/service.ts'
import { Rollouts } from '../rollouts/runner.ts'
import { hostnameOf, type Context } from './context.ts'
import { onDuty } from './duties.ts'
import type { Doubting } from './doubt.ts'
import type { Storage } from './storage.ts'

export interface RolloutsParts extends Pick<Storage & Doubting, 'store' | 'owner' | 'sightings'> {
  readonly nodes: NodeService
  readonly routes: readonly Route[]
  readonly auth: Authenticator
}

export async function startRollouts(context: Context, parts: RolloutsParts): Promise<void> {
  const { config, clock, log } = context
  const { store, owner, sightings, nodes, routes, auth } = parts
  const view = {
    conductor: hostnameOf(config),
    holderOf: owner?.holderOf ?? (() => undefined),
    base: '',
    sightings,
  }
  const send = internalRequests(routes, view)
  /** Roles change: it is asked for each request what the user may do now. */
  const actorOf = (by: Actor) => (config.api.auth.strategy === 'noauth' ? ANYBODY : auth.known(by.user)?.actor)
  const make = () =>
    new Rollouts({
      store,
      clock,
      log,
      actorOf,
      send: (request, by) => send(request, { ...by, nowMs: clock.now() }),
      fingerprintOf: async (node) => (await rackNode({ store, nodes }, node)).fingerprint,
    })
  // With the allocations: a conductor of the version before knows no other duty for what users ordered.
  await onDuty(context, { duty: 'allocations', owner }, make)
}
