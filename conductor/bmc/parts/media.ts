/** Virtual media of a BMC: drives whose image the BMC fetches itself. */

export interface MediaSlot {
  readonly id: string
  readonly kinds: readonly ('cd' | 'dvd' | 'floppy' | 'usb')[]
  readonly inserted: boolean
  /** The URL of the image, where the BMC shows it. */
  readonly image: string | null
}

export interface Media {
  slots(signal: AbortSignal): Promise<readonly MediaSlot[]>
  /** Inserts the image into a drive for this kind, and reads it back. */
  insert(image: { readonly url: string; readonly kind: 'cd' | 'usb' | 'floppy' }, signal: AbortSignal): Promise<void>
  /** Null: every drive. An empty drive is no fault. */
  eject(kind: 'cd' | 'usb' | 'floppy' | null, signal: AbortSignal): Promise<void>
}
