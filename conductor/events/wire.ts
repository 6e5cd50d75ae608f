/** The wire form of an event, for streams, webhooks and documents. */
import { isoTime } from '../../kit/clock.ts'
import type { EventRecord } from '../store/port.ts'

export interface WireEvent {
  readonly seq: number
  readonly at: string
  readonly kind: string
  readonly node_uuid: string | null
  readonly detail: Readonly<Record<string, unknown>>
}

/** What each kind says; in its detail stands the rest. */
export const EVENT_KINDS: Readonly<Record<string, string>> = {
  'node-added': 'a node was enrolled',
  'node-removed': 'a node was deleted',
  act: 'a user changed something: the user and the request',
  state: 'a node changed its provision state',
  reboot:
    'how a deploy starts its image: by kexec or cold, and why; the fault that kept it from a jump, and its remedy',
  jump: 'a jump into an image by kexec ended: whether the new system was heard, else the fault and its remedy; a failure ends automatic use of kexec for the model',
  slow: 'a node is longer in a state than usual: since, what is usual, and what that was taken from',
  power: 'the power state of a node changed; asked: by request',
  error: 'a fault of a node',
  maintenance: 'maintenance began or ended',
  'lock-broken': 'an operator broke the lock of a node',
  console: 'a user opened the serial console of a node, or left it',
  'bmc-act': 'a user acted on the BMC of a node',
  'interface-alias': 'an interface was chosen by an alias: the interface that is used',
  'bmc-suite': 'a BMC does not take cipher suite 17 (SHA-256): an older one is used',
  health: 'the health of a server changed, as its BMC says: OK, Warning, Critical',
  'unsigned-image':
    'a deploy goes on with an image whose boot loader Secure Boot will stop, or of which that is not known',
  drift:
    'a BIOS setting or a version of firmware is not as a step of Rackward left it: what was applied, and what is there now',
  'bmc-key': 'the public key of a BMC was seen for the first time, and is trusted from now on',
  tpm: 'the proof of a boot by the TPM of a server changed: what is proven, or the fault; another TPM was accepted',
  queue:
    'a node waits until there is room for one more server: its place, of how many, the seconds until its turn, what there is no room in; once more each time that half of those before it have begun',
  booting: 'a node was told to boot the network',
  seen: 'a milestone of a boot',
  'agent-done': 'an agent finished a step',
  'agent-heard': 'an agent of another make sent a heartbeat',
  network: 'a network service reported on a port',
  room: 'a boot room was added, renewed or removed, or its connection began or ended: room, what',
  'store-doubt':
    'the database is older than what a boot room or conductor knows, and nothing is acted on: room, last event of each, nodes',
  'store-accepted':
    'an operator goes on with a database that boot rooms or conductors know more than: by, epoch, rooms',
  'switch-port': 'a network card asked from another switch port than before: from, to',
  loader: 'a network card boots another loader: which loaders fell silent before it, and whether it booted',
  'unknown-mac': 'a network card that belongs to no node requested a network boot',
  'image-series':
    'a version of an image was released or withdrawn, or a channel was promoted or rolled back: name, what, version, image, channel, the version that it was at, and the user',
  hook: 'an alert that was posted to a hook: the hook, its act, the host or node, and what was done or refused',
  trouble: 'a warning of the boot services',
}

export const wireEvent = (event: EventRecord): WireEvent => ({
  seq: event.seq,
  at: isoTime(event.atMs),
  kind: event.kind,
  node_uuid: event.nodeUuid,
  detail: event.detail,
})
