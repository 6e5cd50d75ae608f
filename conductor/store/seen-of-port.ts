/** What was seen of the card of a port, beside what its record says: its model, the switch port that it asked from, the
 *  loader that it booted. */
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
}

export type PortSighting = {
  [Kind in keyof SeenOfPort]: { readonly portUuid: string; readonly kind: Kind; readonly saw: SeenOfPort[Kind] }
}[keyof SeenOfPort]

export function cardOf(sightings: readonly PortSighting[]): string | null {
  const found = sightings.find((one) => one.kind === 'card')
  return found?.kind === 'card' ? found.saw.model : null
}
