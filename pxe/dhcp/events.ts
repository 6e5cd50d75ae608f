/** What the DHCP server tells its owner. */
import type { Architecture } from '../../kit/architecture.ts'
import type { Controller } from './controllers.ts'
import type { SwitchPort } from './relay.ts'
import type { ReplyType } from './reply.ts'

/** How far the boot is in which a client asks: its firmware, iPXE, the signed ramdisk, or no network boot. */
export type NetbootStage = 'firmware' | 'ipxe' | 'ramdisk' | 'no'

/** The client took the offer of another server, or found its address in use. */
export type TroubleKind = 'rival' | 'decline'

export type DhcpEvent =
  | {
      readonly kind: 'unknown'
      readonly mac: string
      readonly switchPort?: SwitchPort | undefined
      readonly netboot?: true
      /** It is no server, as it says itself. */
      readonly controller?: Controller
    }
  /** `odd`: a whole request, of hardware that has no MAC address: somebody waits for an answer to it. */
  | { readonly kind: 'malformed'; readonly from: string; readonly why: string; readonly odd?: true }
  /** A known client gets no answer. */
  | { readonly kind: 'refused'; readonly mac: string; readonly why: string }
  /** Something is wrong about a known client, whatever it is answered. */
  | { readonly kind: 'trouble'; readonly mac: string; readonly why: string; readonly about?: TroubleKind }
  /** What the firmware of a known client says of its machine. */
  | { readonly kind: 'machine'; readonly mac: string; readonly uuid: string }
  /** It asked for an address for so many seconds before one of its requests arrived. */
  | { readonly kind: 'late'; readonly mac: string; readonly netboot: NetbootStage; readonly seconds: number }
  /** A limit was enforced, by its key in the configuration. */
  | { readonly kind: 'limit'; readonly limit: 'declinesPerMac' }
  /** The socket of an interface is broken. */
  | { readonly kind: 'socket'; readonly interface: string; readonly why: string }
  | { readonly kind: 'unsent'; readonly toIp: string; readonly why: string }
  /** A handler failed, which is a bug here. */
  | { readonly kind: 'fault'; readonly from: string; readonly why: string }
  /** An answer of a DHCP server came to the port of servers: somebody poses as one. */
  | { readonly kind: 'rogue'; readonly from: string; readonly server?: string }
  /** A known client takes an address from another server. */
  | {
      readonly kind: 'heard'
      readonly mac: string
      readonly ip: string
      readonly server: string | undefined
      readonly netboot: NetbootStage
      /** What it says that it is. */
      readonly architecture?: Architecture | undefined
      readonly switchPort?: SwitchPort | undefined
    }
  | {
      readonly kind: 'reply'
      readonly mac: string
      readonly type: ReplyType
      readonly ip: string
      readonly netboot: NetbootStage
      readonly architecture?: Architecture | undefined
      readonly bootFile?: string | undefined
      readonly switchPort?: SwitchPort | undefined
    }
