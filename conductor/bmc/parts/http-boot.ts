/** UEFI HTTP boot: the firmware fetches an image by itself at the next start. */

export interface HttpBoot {
  /** For the next start only. Throws `node.unsupported` where the firmware does not offer it. */
  bootOnce(url: string, signal: AbortSignal): Promise<void>
}
