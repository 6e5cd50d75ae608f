/** Which loader each client boots: chosen by what its card model did before, and told when it is another one. */
import type { Clock } from '../../kit/clock.ts'
import type { LoaderPaths, LoaderStore } from '../../pxe/loader-paths.ts'
import type { BootEvents } from './events.ts'
import type { BootClient } from './orders.ts'

export interface BootLoaderParts {
  readonly paths: LoaderPaths
  readonly clock: Clock
  readonly events: BootEvents
  readonly client: (mac: string) => BootClient | undefined
}

const MAX_MODELS = 4096

export class BootLoaders {
  private readonly parts: BootLoaderParts
  /** Keys by card model and architecture; there are few architectures, for `arch` is one of the firmware table. */
  private readonly keys = new Map<string, Map<number, string>>()
  private readonly signedKeys = new Map<string, Map<number, string>>()

  constructor(parts: BootLoaderParts) {
    this.parts = parts
  }

  readonly pick = (
    mac: string,
    { files, arch, asksAnew }: { files: readonly string[]; arch: number; asksAnew: boolean },
  ): string | undefined => {
    const { paths, clock, events, client } = this.parts
    const known = client(mac)
    if (!known) return files[0]
    const card = this.cardKey(known, arch)
    const picked = paths.pick(mac, { card, files, asksAnew, nowMs: clock.now() })
    if (picked && picked.insteadOf.length > 0)
      events.loader(known, { file: picked.file, card, worked: false, silent: picked.insteadOf })
    return picked?.file
  }

  fetched(mac: string, file: string): void {
    this.parts.paths.fetched(mac, file, this.parts.clock.now())
  }

  /** The same card runs other code under other firmware, and Secure Boot refuses what worked without it. A card that
   *  was not inspected is known by its maker, which the MAC names. Made once: DHCP asks for each packet. */
  private cardKey({ mac, card, signed }: BootClient, arch: number): string {
    const keys = signed ? this.signedKeys : this.keys
    const model = card ?? mac.slice(0, 8)
    const ofModel = keys.get(model) ?? new Map<number, string>()
    const known = ofModel.get(arch)
    if (known !== undefined) return known
    const key = `${model} arch ${arch}${signed ? ' signed' : ''}`
    if (keys.size >= MAX_MODELS) keys.clear()
    keys.set(model, ofModel.set(arch, key))
    return key
  }

  /** A client took an address, and its loader asked for it. */
  heard(mac: string): void {
    this.parts.paths.heard(mac)
  }

  /** A client fetched its script. */
  worked(client: BootClient): void {
    const done = this.parts.paths.worked(client.mac)
    if (done) this.parts.events.loader(client, { ...done, worked: true })
  }

  /** Every client whose boot is not at its script yet. */
  macs(): IterableIterator<string> {
    return this.parts.paths.macs()
  }

  forget(mac: string): void {
    this.parts.paths.forget(mac)
  }
}

/** What cannot be written is known until the next start: nobody goes without a boot for it. */
export function lenient(store: LoaderStore, onWarning: (what: string) => void): LoaderStore {
  const attempt = (write: () => void) => {
    try {
      write()
    } catch (error) {
      onWarning(`cannot save which loaders work: ${(error as Error).message}`)
    }
  }
  return {
    load: () => store.load(),
    save: (record) => attempt(() => store.save(record)),
    remove: (record) => attempt(() => store.remove(record)),
  }
}
