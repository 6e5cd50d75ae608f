/** Between the conductor and the boot services: one JSON document per line, over a unix socket that only their user may open. */
import type { Socket } from 'node:net'
import type { BootClient } from './orders.ts'

export type ToBoot =
  /** `whole`: these are all clients; otherwise these changed. */
  | { readonly t: 'clients'; readonly revision: number; readonly whole: boolean; readonly set: readonly BootClient[]; readonly gone: readonly string[] }
  | { readonly t: 'stop' }

export type FromBoot =
  | { readonly t: 'hello'; readonly fingerprint: string; readonly pid: number }
  | { readonly t: 'have'; readonly revision: number }
  | { readonly t: 'event'; readonly event: BootEvent }

/** What the boot services saw. `step` is the milestone of a boot, in the order of `MILESTONES`. */
export type BootEvent =
  | {
      readonly kind: 'seen'
      readonly atMs: number
      readonly nodeUuid: string
      readonly mac: string
      readonly step: Milestone
      readonly detail: string
      readonly ip?: string
    }
  | { readonly kind: 'unknown-mac'; readonly atMs: number; readonly mac: string }
  | { readonly kind: 'trouble'; readonly atMs: number; readonly nodeUuid: string | null; readonly what: string }

export const MILESTONES = {
  dhcp: { seen: 'DHCP answered', missing: 'no DHCP request' },
  loader: { seen: 'boot file fetched', missing: 'no boot file request' },
  'ipxe-dhcp': { seen: 'iPXE got its address', missing: 'no DHCP request from iPXE' },
  script: { seen: 'boot script fetched', missing: 'no boot script request' },
  kernel: { seen: 'kernel fetched', missing: 'no kernel request' },
  initrd: { seen: 'ramdisk fetched', missing: 'no ramdisk request' },
  hello: { seen: 'the agent called', missing: 'no word from the agent' },
} as const

export type Milestone = keyof typeof MILESTONES

/** Calls `take` for each line. A line that is too long or no JSON ends the connection. */
export function readLines<T>(socket: Socket, take: (message: T) => void, maxBytes = 64 * 1024 * 1024): void {
  let rest = ''
  socket.setEncoding('utf8')
  socket.on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\n')
    rest = lines.pop() ?? ''
    if (rest.length > maxBytes) return void socket.destroy()
    for (const line of lines) {
      let message: T
      try {
        message = JSON.parse(line) as T
      } catch {
        return void socket.destroy()
      }
      take(message)
    }
  })
}

export const writeLine = (socket: Socket, message: ToBoot | FromBoot): boolean => socket.write(`${JSON.stringify(message)}\n`)
