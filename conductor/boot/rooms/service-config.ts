/** What the boot services of a room are configured with: what conductors say, and the machine that it is on. */
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { Limits } from '../../limits.ts'
import type { ServiceConfig } from '../render.ts'
import type { RoomParts } from './parts.ts'
import type { RoomSettings } from './wire.ts'

export type RoomServiceConfig = ServiceConfig & { agent: RoomSettings['agent'] }

/** Whether the boot services can go on as they run. What another version of a conductor says beside this counts for
 *  nothing: a room that dials two versions would begin anew at each call. */
export const needsSameSockets = (before: RoomSettings, now: RoomSettings): boolean =>
  isDeepStrictEqual(socketsOf(before), socketsOf(now))

const socketsOf = ({ pin, tokenKey, boot, segments }: RoomSettings): unknown => ({
  pin,
  tokenKey,
  // Conductors of 0.2 name a unified kernel image as well.
  boot: { ...boot, uki: undefined },
  segments,
})

export const ROOM_LIMITS = Limits.parse({})

export function serviceConfig(
  { data, interfaces, address, httpPort, loaders }: RoomParts,
  { boot, segments, agent }: RoomSettings,
): RoomServiceConfig {
  return {
    data,
    limits: ROOM_LIMITS,
    images: { store: join(data, 'images') } as ServiceConfig['images'],
    agent,
    boot: {
      ...boot,
      uki: undefined,
      interfaces,
      http: { address, port: httpPort },
      tftp: address,
      loaders,
      subnets: segments.map((segment) => ({ ...segment, mode: 'own' as const, serverIp: address })),
      orphanSeconds: 0,
      mediaSeconds: 0,
    },
  }
}
