/** What the boot script told us, on the kernel command line. */
import { Fault } from '../../kit/fault.ts'

export interface Conductor {
  /** `https://10.0.0.1:6386` */
  readonly url: string
  /** SHA-256 of the conductor's certificate. */
  readonly pin: string
  /** `http://10.0.0.1:8080`, where the boot files came from. Absent: the conductor is older. */
  readonly http?: string
}

export interface BootArgs extends Conductor {
  /** Absent: the boot is claimed by its address. */
  readonly token?: string
  readonly mac: string
  /** `10.0.0.20/24` */
  readonly ip: string
  readonly gateway: string | undefined
  readonly mtu: string | undefined
  /** Cards that are to be one. */
  readonly bond: BondArgs | undefined
  readonly vlan: string | undefined
}

export interface BondArgs {
  /** "802.3ad" */
  readonly mode: string
  /** "miimon=100" */
  readonly options: readonly string[]
  readonly members: readonly string[]
  readonly address: string | undefined
}

/** `claim`: the command line is that of a signed ramdisk, which asks for its address itself. */
export type Cmdline = BootArgs | (Conductor & { readonly claim: true })

export function parseCmdline(text: string): Cmdline {
  const words = new Map(
    text
      .trim()
      .split(/\s+/)
      .map((word) => [word.split('=', 1)[0] as string, word.slice(word.indexOf('=') + 1)]),
  )
  const need = (name: string): string => {
    const value = words.get(`rackward.${name}`)
    if (!value)
      throw new Fault(
        'agent.network',
        `the kernel command line has no rackward.${name}: this ramdisk was not booted by a conductor`,
      )
    return value
  }
  const token = (): string => {
    const value = words.get('rackward.token')
    if (!value)
      throw new Fault(
        'agent.token',
        'the boot script had no token: the conductor did not order this boot, and takes no agent from it',
      )
    return value
  }
  const http = words.get('rackward.http')
  const conductor = { url: need('url'), pin: need('pin').toLowerCase(), ...(http ? { http } : {}) }
  if (words.get('rackward.claim') === 'dhcp') return { ...conductor, claim: true }
  return {
    ...conductor,
    token: token(),
    mac: need('mac').toLowerCase(),
    ip: need('ip'),
    gateway: words.get('rackward.gateway'),
    mtu: words.get('rackward.mtu'),
    bond: bondArgs(words),
    vlan: words.get('rackward.vlan'),
  }
}

function bondArgs(words: ReadonlyMap<string, string>): BondArgs | undefined {
  const [mode, ...options] = (words.get('rackward.bond') ?? '').split(',')
  const members = (words.get('rackward.members') ?? '').toLowerCase().split(',').filter(Boolean)
  if (!mode || members.length === 0) return undefined
  return { mode, options, members, address: words.get('rackward.bondmac')?.toLowerCase() }
}
