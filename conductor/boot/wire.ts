/** Between the conductor and the boot services: one JSON document per line, over a unix socket that only their user may
 *  open. */
import type { Socket } from 'node:net'
import { StringDecoder } from 'node:string_decoder'
import type { Architecture } from '../../kit/architecture.ts'
import type { Controller } from '../../pxe/dhcp/controllers.ts'
import type { SwitchPort } from '../../pxe/dhcp/relay.ts'
import type { BootTotals } from './counters.ts'
import type { MediaOrder } from './media-orders.ts'
import type { BootClient } from './orders.ts'
import type { Sign } from './signs.ts'

export type ToBoot =
  /** `whole`: these are all clients, or with `more` a part of them, and the next parts follow; otherwise these
   *  changed. */
  | {
      readonly t: 'clients'
      readonly revision: number
      readonly whole: boolean
      readonly more?: boolean
      readonly set: readonly BootClient[]
      readonly gone: readonly string[]
      /** Boots by virtual media: of all nodes, or those that changed. */
      readonly media: readonly MediaOrder[]
    }
  | { readonly t: 'stop' }

export type FromBoot =
  | { readonly t: 'hello'; readonly fingerprint: string; readonly pid: number }
  | { readonly t: 'have'; readonly revision: number }
  | { readonly t: 'event'; readonly event: BootEvent }
  | { readonly t: 'totals'; readonly totals: BootTotals }

/** What the boot services saw. `step` is the milestone of a boot, in the order of `MILESTONES`. */
export type BootEvent =
  | {
      readonly kind: 'seen'
      readonly atMs: number
      readonly nodeUuid: string
      readonly mac: string
      readonly step: Milestone
      readonly detail: string
      readonly ip?: string | undefined
      /** Neither firmware nor the ramdisk asked: the system on the disk did. */
      readonly system?: true | undefined
      /** What the firmware says that it is. */
      readonly architecture?: Architecture | undefined
      readonly switchPort?: SwitchPort | undefined
    }
  /** A loader was chosen in place of one that fell silent, or brought a boot to its script. */
  | {
      readonly kind: 'loader'
      readonly atMs: number
      readonly nodeUuid: string
      readonly mac: string
      readonly file: string
      readonly card: string
      readonly worked: boolean
      /** Loaders that fell silent before it. */
      readonly silent: readonly string[]
    }
  /** It waits in its loader for others to load the ramdisk. `text`: "412 of 900, about 40 s". */
  | {
      readonly kind: 'waits'
      readonly atMs: number
      readonly nodeUuid: string
      readonly mac: string
      readonly text: string
    }
  | {
      readonly kind: 'unknown-mac'
      readonly atMs: number
      readonly mac: string
      readonly switchPort?: SwitchPort
      /** Its firmware, or iPXE, asked: it wants to boot. */
      readonly netboot?: true
      /** It is no server, as it says itself. */
      readonly controller?: Controller
    }
  /** What else is seen of a boot. It is kept in memory alone. */
  | {
      readonly kind: 'sign'
      readonly atMs: number
      readonly nodeUuid: string
      readonly sign: Sign
      readonly detail: string
    }
  /** `count`: this one stands for that many events that are not told one by one. */
  | {
      readonly kind: 'trouble'
      readonly atMs: number
      readonly nodeUuid: string | null
      readonly what: string
      readonly count?: number
    }

export const MILESTONES = {
  dhcp: { seen: 'DHCP answered', missing: 'no DHCP request' },
  loader: { seen: 'boot file fetched', missing: 'no boot file request' },
  /** Of a boot through signed loaders alone, as the next one is of a boot through iPXE. */
  grub: { seen: 'GRUB fetched', missing: 'no request for GRUB from shim' },
  'ipxe-dhcp': { seen: 'iPXE got its address', missing: 'no DHCP request from iPXE' },
  script: { seen: 'boot script fetched', missing: 'no boot script request' },
  kernel: { seen: 'kernel fetched', missing: 'no kernel request' },
  initrd: { seen: 'ramdisk fetched', missing: 'no ramdisk request' },
  media: { seen: 'boot ISO asked for', missing: 'the BMC never asked for the boot ISO' },
  hello: { seen: 'the agent called', missing: 'no word from the agent' },
} as const

export type Milestone = keyof typeof MILESTONES

export const isMilestone = (text: unknown): text is Milestone =>
  typeof text === 'string' && Object.hasOwn(MILESTONES, text)

/** In the order of a boot. */
export const MILESTONE_ORDER = Object.keys(MILESTONES) as readonly Milestone[]

/** What a boot passes: by the network, through iPXE or through shim and GRUB, or with the boot ISO. */
export function milestonesOf(boot: { readonly servesIso: boolean; readonly signed?: boolean }): readonly Milestone[] {
  if (boot.servesIso) return ['media', 'hello']
  const others: readonly Milestone[] = ['media', boot.signed ? 'ipxe-dhcp' : 'grub']
  return MILESTONE_ORDER.filter((milestone) => !others.includes(milestone))
}

/** What comes after the last milestone of a boot that was reached; undefined: nothing is missing. */
export function nextMilestone(
  seen: { readonly has: (milestone: Milestone) => boolean },
  path: readonly Milestone[],
): Milestone | undefined {
  const last = path.findLastIndex((milestone) => seen.has(milestone))
  return path[last + 1]
}

const MAX_LINE_LENGTH = 64 * 1024 * 1024

/** Calls `take` for each line. A line that is longer than `maxLength` (in UTF-16 units) or no JSON ends the
 *  connection. */
export function readLines<T>(socket: Socket, take: (message: T) => void, maxLength = MAX_LINE_LENGTH): void {
  let parts: string[] = []
  let length = 0
  const line = (end: string): T | undefined => {
    const text = parts.join('') + end
    parts = []
    length = 0
    try {
      return JSON.parse(text) as T
    } catch {
      return undefined
    }
  }
  // setEncoding is refused by a socket that came from an HTTP server.
  const decoder = new StringDecoder('utf8')
  socket.on('data', (bytes: Buffer) => {
    const chunk = decoder.write(bytes)
    let from = 0
    while (!socket.destroyed) {
      const end = chunk.indexOf('\n', from)
      length += (end < 0 ? chunk.length : end) - from
      if (length > maxLength) return void socket.destroy()
      if (end < 0) return void parts.push(chunk.slice(from))
      const message = line(chunk.slice(from, end))
      if (message === undefined) return void socket.destroy()
      take(message)
      from = end + 1
    }
  })
}

/** False when the connection is full: what is written then waits in memory, until its event `drain`. */
export const writeLine = (socket: Socket, message: ToBoot | FromBoot): boolean => socket.write(linesOf([message]))

export const linesOf = (messages: readonly (ToBoot | FromBoot)[]): string =>
  messages.map((message) => `${JSON.stringify(message)}\n`).join('')
