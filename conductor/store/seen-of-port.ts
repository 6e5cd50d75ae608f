/** What was seen of the card of a port, beside what its record says: its model, the switch port that it asked from, the
 *  loader that it booted, what its firmware says that it is. */
import type { Architecture } from '../../kit/architecture.ts'
import type { SwitchPort } from '../../pxe/dhcp/relay.ts'

export interface SeenOfPort {
  /** By its PCI ids. */
  readonly card: { readonly model: string }
  readonly switch: SwitchPort & { readonly atMs: number }
  readonly loader: {
    readonly file: string
    readonly atMs: number
    readonly worked: boolean
    /** Loaders that fell silent before it. */
    readonly silent: readonly string[]
  }
  /** From option 93 of its DHCP requests. */
  readonly firmware: { readonly architecture: Architecture; readonly atMs: number }
}

export type PortSighting = {
  [Kind in keyof SeenOfPort]: { readonly portUuid: string; readonly kind: Kind; readonly saw: SeenOfPort[Kind] }
}[keyof SeenOfPort]

export function cardOf(sightings: readonly PortSighting[]): string | null {
  const found = sightings.find((one) => one.kind === 'card')
  return found?.kind === 'card' ? found.saw.model : null
}

/** What the firmware of a node said last that it is. */
export function firmwareArchitecture(sightings: readonly PortSighting[]): Architecture | null {
  const all = sightings.flatMap((one) => (one.kind === 'firmware' ? [one.saw] : []))
  return all.toSorted((a, b) => b.atMs - a.atMs)[0]?.architecture ?? null
}
