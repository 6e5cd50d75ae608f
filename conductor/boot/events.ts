/** What the boot services see -> lines of the log and events for the conductor, each limited by kind and source, so
 *  that whoever is on the wire fills neither. */
import type { Architecture } from '../../kit/architecture.ts'
import type { Clock } from '../../kit/clock.ts'
import type { Log } from '../../kit/log.ts'
import type { Controller } from '../../pxe/dhcp/controllers.ts'
import type { SwitchPort } from '../../pxe/dhcp/relay.ts'
import { EventGate, type Summary } from './gate.ts'
import type { BootClient } from './orders.ts'
import type { Sign } from './signs.ts'
import { MILESTONES, type BootEvent, type Milestone } from './wire.ts'

export interface BootEventParts {
  readonly perSecond: number
  readonly clock: Clock
  readonly log: Log
  readonly emit: (event: BootEvent) => void
  /** An event is counted and not told, because there are too many. */
  readonly onHeldBack?: () => void
}

export interface Saw {
  readonly detail: string
  readonly ip?: string | undefined
  readonly system?: true | undefined
  readonly architecture?: Architecture | undefined
  readonly switchPort?: SwitchPort | undefined
}

/** What a MAC that belongs to no port says of itself. */
export interface UnknownSaw {
  readonly switchPort?: SwitchPort | undefined
  readonly netboot?: true
  readonly controller?: Controller
}

/** What a warning is about. */
export interface WarningSource {
  /** The node that it is about. */
  readonly nodeUuid: string | null
  readonly address: string
  /** True for the address of a known node, which cannot be made up at will. */
  readonly known: boolean
}

const WARNINGS = {
  dhcp: 'DHCP requests',
  tftp: 'TFTP requests and transfers',
  script: 'requests for boot scripts',
  ramdisk: 'nodes without a ramdisk of their architecture',
  media: 'boot ISOs that cannot be read',
  socket: 'socket errors',
  fault: 'faults',
  snapshot: 'problems with the snapshot',
  loaders: 'choices of a loader',
} as const
/** What is told in other ways than as a warning. */
const OTHERS: Readonly<Record<string, string>> = {
  unknown: 'MACs that belong to no port',
  malformed: 'malformed datagrams',
  waits: 'servers that wait for a place to load the ramdisk',
}
export type WarningKind = keyof typeof WARNINGS

const SUMMARY_MS = 10_000
/** Room for the cards of ten thousand servers, or the gate would forget each before it is seen again. A full gate takes
 *  about 12 MB. */
const MAX_SOURCES = 65_536
const MAX_UNKNOWN = 10_000
const UNKNOWN_AGAIN_MS = 3_600_000

export class BootEvents {
  private readonly parts: BootEventParts
  private readonly gate: EventGate
  /** Apart: there are many kinds of signs of each server, and none may be forgotten for them. */
  private readonly signGate: EventGate
  /** Unknown MACs that were told, with the time; oldest first. A flood cannot push them out faster than its own are
   *  told. */
  private readonly unknown = new Map<string, number>()
  private cancelSummary: (() => void) | undefined

  constructor(parts: BootEventParts) {
    this.parts = parts
    this.gate = new EventGate({ perSecond: parts.perSecond, sources: MAX_SOURCES })
    this.signGate = new EventGate({ perSecond: parts.perSecond, sources: MAX_SOURCES })
  }

  stop(): void {
    this.cancelSummary?.()
    this.tellHeldBack()
  }

  seen(client: Pick<BootClient, 'mac' | 'nodeUuid'>, step: Milestone, saw: Saw): void {
    const { mac, nodeUuid } = client
    if (!this.pass(step, { source: mac, known: true })) return
    const { detail, ip, system, architecture, switchPort } = saw
    this.parts.emit({
      kind: 'seen',
      atMs: this.now(),
      nodeUuid,
      mac,
      step,
      detail,
      ip,
      system,
      architecture,
      switchPort,
    })
  }

  loader(
    client: Pick<BootClient, 'mac' | 'nodeUuid'>,
    saw: { file: string; card: string; worked: boolean; silent: readonly string[] },
  ): void {
    const { mac, nodeUuid } = client
    if (this.pass('loaders', { source: mac, known: true }))
      this.parts.emit({ kind: 'loader', atMs: this.now(), nodeUuid, mac, ...saw })
  }

  /** Beside the milestones; told to `explain`, and no event of the journal. Of too many nobody is told: explain has the
   *  first of them. */
  sign({ mac, nodeUuid }: Pick<BootClient, 'mac' | 'nodeUuid'>, sign: Sign, detail: string): void {
    const nowMs = this.now()
    if (this.signGate.pass(sign, { source: mac, known: true }, nowMs))
      this.parts.emit({ kind: 'sign', atMs: nowMs, nodeUuid, sign, detail })
    else this.parts.onHeldBack?.()
  }

  /** A client waits for its turn. */
  waits(client: Pick<BootClient, 'mac' | 'nodeUuid'>, text: string): void {
    const { mac, nodeUuid } = client
    if (this.pass('waits', { source: mac, known: true }))
      this.parts.emit({ kind: 'waits', atMs: this.now(), nodeUuid, mac, text })
  }

  /** Something that the operator should know of. */
  warn(kind: WarningKind, from: WarningSource, what: string): void {
    if (!this.pass(kind, { source: from.address, known: from.known })) return
    this.parts.log.warn({ node: from.nodeUuid }, what)
    this.parts.emit({ kind: 'trouble', atMs: this.now(), nodeUuid: from.nodeUuid, what })
  }

  /** A MAC that belongs to no port asked for an address. Told once an hour. */
  unknownMac(mac: string, { switchPort, netboot, controller }: UnknownSaw = {}): void {
    const toldAtMs = this.unknown.get(mac)
    if (toldAtMs !== undefined && this.now() - toldAtMs < UNKNOWN_AGAIN_MS) return
    if (!this.pass('unknown', { known: false })) return
    this.unknown.delete(mac)
    this.unknown.set(mac, this.now())
    const [oldest] = this.unknown.keys()
    if (this.unknown.size > MAX_UNKNOWN && oldest !== undefined) this.unknown.delete(oldest)
    const who = controller ? `${controller} whose MAC` : 'a MAC that'
    this.parts.log.warn({ mac }, `${who} belongs to no port asked for an address; it gets no answer`)
    this.parts.emit({
      kind: 'unknown-mac',
      atMs: this.now(),
      mac,
      ...(switchPort ? { switchPort } : {}),
      ...(netboot ? { netboot } : {}),
      ...(controller ? { controller } : {}),
    })
  }

  /** For debugging alone: no event. */
  malformed(from: string, why: string): void {
    if (this.pass('malformed', { source: from, known: false }))
      this.parts.log.debug({ from, why }, 'a datagram on the DHCP port is no DHCP packet for this server')
  }

  private now = () => this.parts.clock.now()

  private pass(kind: string, from: { source?: string; known: boolean }): boolean {
    const passed = this.gate.pass(kind, from, this.now())
    if (passed) return true
    this.parts.onHeldBack?.()
    this.cancelSummary ??= this.parts.clock.after(SUMMARY_MS, () => this.tellHeldBack())
    return false
  }

  private tellHeldBack(): void {
    this.cancelSummary = undefined
    for (const summary of this.gate.summaries()) {
      const what = summaryText(summary)
      if (summary.kind === 'malformed') {
        this.parts.log.debug(what)
        continue
      }
      this.parts.log.warn(what)
      this.parts.emit({ kind: 'trouble', atMs: this.now(), nodeUuid: null, what, count: summary.count })
    }
  }
}

function summaryText({ kind, source, count }: Summary): string {
  const milestone: string | undefined = kind in MILESTONES ? MILESTONES[kind as Milestone].seen : undefined
  const label = milestone ?? OTHERS[kind] ?? WARNINGS[kind as WarningKind]
  return `${label}: ... and ${count} more of this kind from ${source ?? 'several addresses'} in the last ${SUMMARY_MS / 1000} s`
}
