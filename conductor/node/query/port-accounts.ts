/** What was seen of the ports of a node, for people: the switch port of each card, and the loader that it boots.
 *  Pure. */
import { isoTime } from '../../../kit/clock.ts'
import type { PortSighting, SeenOfPort } from '../../store/seen-of-port.ts'
import type { PortRecord } from '../../store/port.ts'

export interface PortAccount {
  readonly uuid: string
  readonly address: string
  /** By its PCI ids; null: it was not inspected. */
  readonly card: string | null
  /** From what relays and switches add to DHCP requests (option 82). */
  readonly switch_port: {
    readonly circuit_id: string | null
    readonly remote_id: string | null
    readonly relay: string | null
    readonly seen_at: string
  } | null
  readonly loader: {
    readonly file: string
    readonly worked: boolean
    readonly silent: readonly string[]
    readonly seen_at: string
  } | null
}

export function portAccounts(ports: readonly PortRecord[], sightings: readonly PortSighting[]): PortAccount[] {
  const seen = <Kind extends keyof SeenOfPort>(uuid: string, kind: Kind): SeenOfPort[Kind] | undefined =>
    sightings.find((one) => one.portUuid === uuid && one.kind === kind)?.saw as SeenOfPort[Kind] | undefined
  return ports.map(({ uuid, address }) => {
    const [card, at, loader] = [seen(uuid, 'card'), seen(uuid, 'switch'), seen(uuid, 'loader')]
    return {
      uuid,
      address,
      card: card?.model ?? null,
      switch_port: at
        ? {
            circuit_id: at.circuitId ?? null,
            remote_id: at.remoteId ?? null,
            relay: at.relay ?? null,
            seen_at: isoTime(at.atMs),
          }
        : null,
      loader: loader
        ? { file: loader.file, worked: loader.worked, silent: loader.silent, seen_at: isoTime(loader.atMs) }
        : null,
    }
  })
}

/** Those of which there is more to tell than their address. */
export const tellsSomething = ({ switch_port, loader }: PortAccount): boolean => switch_port !== null || loader !== null
