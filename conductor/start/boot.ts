/** The conductor's side of the boot services, and the identity that agents know it by. */
import { join } from 'node:path'
import { Fault } from '../../kit/fault.ts'
import { agentIdentity, type Identity } from '../agents/certificate.ts'
import { BootLink, type Launched } from '../boot/link.ts'
import { bootFingerprint } from '../boot/service.ts'
import { shareIdentity } from '../boot/shared-identity.ts'
import { bootKey } from '../boot/token.ts'
import { BootUpdates } from '../boot/updates.ts'
import { BootWatch } from '../boot/watch.ts'
import { roomParts, type BootRooms } from './rooms.ts'
import type { Context } from './context.ts'
import type { Doubting } from './doubt.ts'
import type { Storage } from './storage.ts'

export interface Boot {
  /** Absent: no node calls. */
  readonly identity: Identity | undefined
  readonly tokenKey: Buffer
  /** Absent: no node is booted over the network. */
  readonly link: BootLink | undefined
  readonly updates: BootUpdates
  readonly watch: BootWatch
  /** Absent: none are configured. */
  readonly rooms: BootRooms | undefined
  /** Undefined without boot services. */
  readonly isDown: () => boolean | undefined
}

const launchNothing = (): never => {
  throw new Fault('boot.down', 'nothing starts the boot services here')
}

export async function bootParts(
  context: Context,
  storage: Storage & Doubting,
  launch: () => Launched = launchNothing,
): Promise<Boot> {
  const { config, clock, log, random } = context
  const { store, sightings, events, doubt } = storage
  await shareIdentity({ data: config.data, random }, store.keepSecret)
  const identity = config.agent ? await agentIdentity(config.data) : undefined
  const tokenKey = await bootKey(join(config.data, 'boot.key'), random)
  const watch = new BootWatch({ store, sightings, queue: events.queue })

  const link =
    config.boot && identity
      ? new BootLink({
          dataDir: config.data,
          fingerprint: bootFingerprint(config, identity.pin),
          clock,
          log,
          onEvent: (event) => watch.onEvent(event),
          launch,
        })
      : undefined
  const isDown = () => (link ? !link.connected : undefined)
  const rooms = roomParts(context, storage, { identity, tokenKey, watch })
  const updates = new BootUpdates(store, link, {
    subnets: config.boot?.subnets ?? [],
    rooms: rooms?.hub,
    mayTell: () => !doubt.inDoubt,
  })
  return { identity, tokenKey, link, watch, updates, rooms, isDown }
}

export async function startBootLink(
  { life, log }: Context,
  { store, doubt }: Storage & Doubting,
  { link, updates, rooms }: Boot,
): Promise<void> {
  if (!link) return
  const orders = await Promise.all((await store.everyNode()).map(updates.ordersOf))
  await rooms?.load()
  for (const one of orders) await rooms?.hub.take(one)
  const known = doubt.inDoubt ? [] : orders
  await life.add(
    'boot',
    () =>
      link.start(
        known.flatMap(({ clients }) => clients),
        known.map(({ media }) => media),
      ),
    () => link.stop(),
  )
  const tellAnew = async (): Promise<void> => {
    for (const { uuid } of await store.everyNode()) await updates.refresh(uuid, [])
    rooms?.rooms.tellAll()
  }
  doubt.listen({
    doubted: () => link.withdraw(),
    opened: (anew) => {
      if (!anew) return rooms?.rooms.tellAll()
      tellAnew().catch((error: unknown) => log.error({ err: error }, 'boot orders after a doubt'))
    },
  })
  await rooms?.listen()
}
