/** Who is asked for the bytes of an image: the nearest server, and after it failed the next one. The last one is the
 *  conductor's, whose failures are for the caller to judge. */

/** In a row, with nothing that came meanwhile. */
const MAX_FAILURES = 3

export class PieceServers {
  private readonly urls: readonly string[]
  private at = 0
  private failures = 0

  /** `near`: URLs that come before the conductor's, the nearest first. */
  constructor(dataUrl: string, near: readonly string[] = []) {
    this.urls = [...near.filter((url) => URL.canParse(url)), dataUrl]
  }

  get url(): string {
    return this.urls[this.at] as string
  }

  /** A piece came. */
  came(): void {
    this.failures = 0
  }

  /** A transfer failed. True: another server is asked from now on, or was already. */
  failed(url: string): boolean {
    if (url !== this.url) return true
    this.failures += 1
    return this.failures >= MAX_FAILURES && this.leave(url)
  }

  /** This server gives no right bytes. False: there is no other one. */
  leave(url: string): boolean {
    if (url !== this.url) return true
    if (this.at === this.urls.length - 1) return false
    this.at += 1
    this.failures = 0
    return true
  }

  /** In words; undefined: there was never another one than the conductor's. */
  get said(): string | undefined {
    if (this.urls.length === 1) return undefined
    const left = this.urls.slice(0, this.at).map(hostOf)
    const given = left.length === 0 ? '' : ` (boot room ${left.join(', ')} gave nothing right)`
    const isLast = this.at === this.urls.length - 1
    return `${isLast ? 'image server: the conductor' : `image server: boot room ${hostOf(this.url)}`}${given}`
  }
}

const hostOf = (url: string): string => new URL(url).hostname
