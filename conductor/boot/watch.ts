/** What the boot services saw -> sightings, events, and the addresses of ports. */
import type { Architecture } from '../../kit/architecture.ts'
import type { EventQueue } from '../events/queue.ts'
import type { Sightings } from '../node/query/sightings.ts'
import type { Store } from '../store/port.ts'
import { switchPortText, type SwitchPort } from '../../pxe/dhcp/relay.ts'
import type { BootEvent } from './wire.ts'

type Seen = BootEvent & { kind: 'seen' }
const MAX_REMEMBERED = 10_000

export class BootWatch {
  /** The system on the disk of a node asked for its address. */
  onSystem: ((heard: { readonly nodeUuid: string; readonly atMs: number }) => void) | undefined
  private readonly store: Store
  private readonly sightings: Sightings
  private readonly queue: Pick<EventQueue, 'add'>
  /** A server asks many times from one port. */
  private readonly switchPorts = new Remembered()
  private readonly architectures = new Remembered()
  /** IP address -> the node that was given it. */
  private readonly addresses = new Remembered()

  constructor({ store, sightings, queue }: { store: Store; sightings: Sightings; queue: Pick<EventQueue, 'add'> }) {
    this.store = store
    this.sightings = sightings
    this.queue = queue
  }

  onEvent(event: BootEvent): void {
    const { atMs } = event
    const keep = (nodeUuid: string | null, kind: string, detail: Record<string, unknown>) =>
      this.queue.add({ atMs, nodeUuid, kind, detail })
    if (event.kind === 'unknown-mac') {
      const at = event.switchPort && { switch_port: switchPortText(event.switchPort) }
      const { mac, netboot, controller } = event
      return keep(null, event.kind, {
        mac,
        ...at,
        ...(netboot ? { netboot } : {}),
        ...(controller ? { controller } : {}),
      })
    }
    if (event.kind === 'sign') return this.sightings.sign(event.nodeUuid, event.sign, { atMs, detail: event.detail })
    if (event.kind === 'waits') return this.sightings.waits(event.nodeUuid, { atMs, detail: event.text })
    if (event.kind === 'loader') return void this.onLoader(event).catch(() => undefined)
    if (event.kind === 'trouble') return keep(event.nodeUuid, event.kind, { what: event.what })
    if (event.system) this.onSystem?.(event)
    const fresh = this.sightings.note(event.nodeUuid, event.step, { atMs, detail: event.detail })
    if (fresh) keep(event.nodeUuid, 'seen', { step: event.step, detail: event.detail, mac: event.mac })
    if (event.ip) this.addresses.isNew(event.ip, event.nodeUuid)
    // Where a node is reached is asked of its port.
    if (event.ip) void this.store.learnPortIp(event.mac, event.ip).catch(() => undefined)
    if (event.switchPort) void this.onSwitchPort(event, event.switchPort).catch(() => undefined)
    if (event.architecture) void this.onArchitecture(event, event.architecture).catch(() => undefined)
  }

  /** The node that this address was given to last. */
  nodeAt = (ip: string): string | undefined => this.addresses.of(ip)

  /** A card that asks from another switch port than before was moved, or somebody else uses its address. */
  private async onSwitchPort({ atMs, mac, nodeUuid }: Seen, now: SwitchPort): Promise<void> {
    const text = switchPortText(now)
    if (!this.switchPorts.isNew(mac, `${nodeUuid} ${text}`)) return
    const before = await this.store.notePort(mac, 'switch', { ...now, atMs }).catch((error: unknown) => {
      // The next packet tells it again.
      this.switchPorts.forget(mac)
      throw error
    })
    if (!before || switchPortText(before) === text) return
    const detail = { mac, from: switchPortText(before), to: text }
    this.queue.add({ atMs, nodeUuid, kind: 'switch-port', detail })
  }

  private async onArchitecture({ atMs, mac, nodeUuid }: Seen, architecture: Architecture): Promise<void> {
    if (!this.architectures.isNew(mac, `${nodeUuid} ${architecture}`)) return
    await this.store.notePort(mac, 'firmware', { architecture, atMs }).catch((error: unknown) => {
      this.architectures.forget(mac)
      throw error
    })
  }

  private async onLoader({
    atMs,
    mac,
    nodeUuid,
    file,
    card,
    worked,
    silent,
  }: BootEvent & { kind: 'loader' }): Promise<void> {
    const before = await this.store.notePort(mac, 'loader', { file, atMs, worked, silent })
    if (silent.length === 0 && before?.file === file) return
    const what = worked ? 'it booted' : 'it is tried next'
    this.queue.add({ atMs, nodeUuid, kind: 'loader', detail: { mac, card, file, silent, what } })
  }
}

/** What was noted last, and of which node, by MAC: of a server that is enrolled anew nothing is noted. The oldest goes
 *  when there is too much. */
class Remembered {
  private readonly byMac = new Map<string, string>()

  /** True when it differs from what was noted last. */
  isNew(mac: string, value: string): boolean {
    if (this.byMac.get(mac) === value) return false
    this.byMac.delete(mac)
    this.byMac.set(mac, value)
    const [oldest] = this.byMac.keys()
    if (this.byMac.size > MAX_REMEMBERED && oldest !== undefined) this.byMac.delete(oldest)
    return true
  }

  of = (mac: string): string | undefined => this.byMac.get(mac)

  forget(mac: string): void {
    this.byMac.delete(mac)
  }
}
