/** Which loader each client boots: chosen by what its card model did before, and told when it is another one. */
import type { Clock } from '../../kit/clock.ts'
import type { LoaderPaths } from '../../pxe/loader-paths.ts'
import type { BootEvents } from './events.ts'
import type { BootClient } from './orders.ts'

export interface BootLoaderParts {
  readonly paths: LoaderPaths
  readonly clock: Clock
  readonly events: BootEvents
  readonly client: (mac: string) => BootClient | undefined
}

export class BootLoaders {
  private readonly parts: BootLoaderParts

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
    const card = cardKey(known, arch)
    const picked = paths.pick(mac, { card, files, asksAnew, nowMs: clock.now() })
    if (picked && picked.insteadOf.length > 0)
      events.loader(known, { file: picked.file, card, worked: false, silent: picked.insteadOf })
    return picked?.file
  }

  fetched(mac: string, file: string): void {
    this.parts.paths.fetched(mac, file, this.parts.clock.now())
  }

  /** A client fetched its script. */
  worked(client: BootClient): void {
    const done = this.parts.paths.worked(client.mac)
    if (done) this.parts.events.loader(client, { ...done, worked: true })
  }

  forget(mac: string): void {
    this.parts.paths.forget(mac)
  }
}

/** The same card runs other code under other firmware, and Secure Boot refuses what worked without it. A card that was not inspected is known by its maker, which the MAC names. */
const cardKey = ({ mac, card, signed }: BootClient, arch: number): string =>
  `${card ?? mac.slice(0, 8)} arch ${arch}${signed ? ' signed' : ''}`
