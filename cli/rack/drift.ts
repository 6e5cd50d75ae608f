/** Wanted, recorded, observed: every value of a rack that is not as the file says, and who changed it. Pure. */
import { isDeepStrictEqual } from 'node:util'
import type { RackNode } from '../../conductor/api/rack-schemas.ts'
import { MASK } from '../../conductor/api/views.ts'
import { digestOf } from '../../conductor/rollouts/plan.ts'
import { baselineItems } from './baseline.ts'
import { isChannel, type Observed } from './plan.ts'
import { kindOf, type DriftKind } from './drift-kind.ts'
import { siteDrift } from './site-drift.ts'
import type { Rack, WantedUnit } from './resolve.ts'
import { driveOf, fieldsOf, imageOf, isPlaceholder, portsOf } from './wanted.ts'

export interface RackDifference {
  readonly node: string
  readonly field: string
  readonly kind: DriftKind
  /** Null: it says nothing of it. */
  readonly wanted: unknown
  readonly recorded: unknown
  readonly observed: unknown
}

export interface RackDrift {
  readonly site: string
  readonly nodes: number
  /** Some differ: `unapplied` or `changed`. */
  readonly drifted: boolean
  readonly differences: readonly RackDifference[]
}

/** What the BMC was asked for, by name of the node; an error where it did not answer. */
export type BootDevices = ReadonlyMap<string, { device: string | null } | { error: string }>

type SayDrift = (
  field: string,
  kind: DriftKind,
  values: Partial<Omit<RackDifference, 'node' | 'field' | 'kind'>>,
) => void

const ABSENT = 'absent'

export function driftOf(rack: Rack, observed: Observed, boot: BootDevices = new Map()): RackDrift {
  const byName = new Map(observed.nodes.map((node) => [node.name, node]))
  const differences = rack.nodes.flatMap((wanted) => {
    const found: RackDifference[] = []
    const say: SayDrift = (field, kind, { wanted: w = null, recorded = null, observed: o = null }) =>
      void found.push({ node: wanted.name, field, kind, wanted: w, recorded, observed: o })
    nodeDrift(wanted, byName.get(wanted.name), { rack, observed, boot, say })
    return found
  })
  differences.push(...siteDrift(rack, observed.site ?? {}))
  const names = new Set(rack.nodes.map(({ name }) => name))
  for (const { name, uuid, recorded } of observed.nodes)
    if (recorded?.site === rack.site && !names.has(name ?? ''))
      differences.push({
        ...NODE,
        node: name ?? uuid,
        kind: 'unapplied',
        wanted: ABSENT,
        recorded: 'enrolled',
        observed: 'enrolled',
      })
  return {
    site: rack.site,
    nodes: rack.nodes.length,
    drifted: differences.some(({ kind }) => kind === 'unapplied' || kind === 'changed'),
    differences,
  }
}

const NODE = { field: 'node' } as const

interface DriftAbout {
  readonly rack: Rack
  readonly observed: Observed
  readonly boot: BootDevices
  readonly say: SayDrift
}

function nodeDrift(wanted: WantedUnit, node: RackNode | undefined, about: DriftAbout): void {
  const { say, rack } = about
  const isAbsent = wanted.spec.want === 'absent'
  if (!node || isAbsent) {
    // A record of it would have gone with it.
    if (node) say('node', 'unapplied', { wanted: ABSENT, observed: 'enrolled', recorded: node.recorded && 'enrolled' })
    else if (!isAbsent) say('node', 'unapplied', { wanted: 'enrolled', observed: ABSENT })
    return
  }
  if (node.recorded && node.recorded.site !== rack.site)
    say('site', 'changed', { wanted: rack.site, recorded: node.recorded.site, observed: node.recorded.site })
  fieldDrift(wanted, node, about)
  portDrift(wanted, node, say)
  stateDrift(wanted, node, about)
  baselineDrift(wanted, node, about)
  hardwareDrift(wanted, node, about)
}

const secretText = (name: string): string => `secret ${name}`
const shownRecord = (value: unknown): unknown => (isPlaceholder(value) ? secretText(value.$secret) : value)

function fieldDrift(wanted: WantedUnit, node: RackNode, { observed, say }: DriftAbout): void {
  const fields = fieldsOf(wanted)
  const recorded = node.recorded?.fields ?? {}
  for (const [field, value] of Object.entries(fields)) {
    const now = node.fields[field]
    const was = recorded[field]
    if (isPlaceholder(value)) {
      if (now !== undefined && !observed.secretsDiffer.has(`${wanted.name} ${field}`)) continue
      say(field, kindOf(value, was), {
        wanted: secretText(value.$secret),
        recorded: shownRecord(was),
        observed: now === undefined ? null : 'another one',
      })
    } else if (!isDeepStrictEqual(now ?? null, value))
      say(field, kindOf(value, was), { wanted: value, recorded: shownRecord(was), observed: now })
  }
  for (const [field, was] of Object.entries(recorded)) {
    const now = node.fields[field]
    if (Object.hasOwn(fields, field) || field === 'driver' || now === undefined || now === null) continue
    say(field, isPlaceholder(was) || isDeepStrictEqual(now, was) ? 'unapplied' : 'changed', {
      recorded: shownRecord(was),
      observed: now,
    })
  }
  for (const [field, now] of Object.entries(node.fields)) {
    if (now === MASK || Object.hasOwn(fields, field) || Object.hasOwn(recorded, field)) continue
    if (field.startsWith('extra/') || field.startsWith('driver_info/')) say(field, 'foreign', { observed: now })
  }
  const { traits } = wanted.spec
  if (!traits) return
  const [want, now] = [sorted(traits), sorted(node.traits)]
  const was = node.recorded?.traits ?? undefined
  if (!isDeepStrictEqual(want, now)) say('traits', kindOf(want, was), { wanted: want, recorded: was, observed: now })
}

const sorted = (texts: readonly string[]): string[] => [...new Set(texts)].toSorted()

function portDrift({ spec }: WantedUnit, node: RackNode, say: SayDrift): void {
  const wanted = portsOf(spec)
  const recorded = new Set(node.recorded?.ports)
  const was = (address: string) => (recorded.has(address) ? 'there' : null)
  for (const port of wanted) {
    const field = `port ${port.address}`
    const now = node.ports.find(({ address }) => address === port.address)
    if (!now) {
      say(field, recorded.has(port.address) ? 'changed' : 'unapplied', {
        wanted: 'there',
        recorded: was(port.address),
        observed: ABSENT,
      })
      continue
    }
    for (const name of ['pxe_enabled', 'physical_network', 'local_link_connection'] as const)
      if (port[name] !== undefined && !isDeepStrictEqual(port[name], now[name]))
        // What a port was given is not recorded.
        say(`${field} ${name}`, 'changed', { wanted: port[name], observed: now[name] })
  }
  for (const { address } of node.ports) {
    if (wanted.some((port) => port.address === address)) continue
    const isGone = recorded.has(address) || spec.absent_ports?.includes(address)
    say(`port ${address}`, isGone ? 'unapplied' : 'foreign', {
      wanted: isGone ? ABSENT : null,
      recorded: was(address),
      observed: 'there',
    })
  }
}

function stateDrift(wanted: WantedUnit, node: RackNode, { rack, observed, say }: DriftAbout): void {
  const { want, raid } = wanted.spec
  const { provision_state: state, recorded } = node
  if (want !== undefined && want !== 'enroll' && state !== want)
    say('state', recorded ? 'changed' : 'unapplied', { wanted: want, observed: state })
  if (raid && digestOf(raid) !== recorded?.raid)
    say('raid', 'unapplied', {
      wanted: raid,
      recorded: recorded?.raid ? 'another one' : null,
      observed: node.target_raid,
    })
  if (state !== 'active') return
  for (const [key, value] of Object.entries(imageOf(wanted, rack) ?? {}))
    if (!isDeepStrictEqual(node.instance[key], value))
      say(`instance_info/${key}`, 'unapplied', { wanted: value, observed: node.instance[key] })
  const behind = isChannel(wanted, rack) ? observed.behind.get(wanted.name) : undefined
  if (behind) say('image version', 'unapplied', { wanted: behind.wanted, observed: behind.version })
  const drive = driveOf(wanted, observed.files)
  const known = recorded?.drive ?? (node.has_drive ? undefined : null)
  if (drive && known === undefined)
    say('configdrive', 'unknown', { wanted: 'as in the file', observed: 'not recorded' })
  else if (drive && known !== drive.digest)
    say('configdrive', 'unapplied', {
      wanted: 'as in the file',
      recorded: known === null ? null : 'another one',
      observed: 'another one',
    })
}

function baselineDrift({ name: node, spec }: WantedUnit, { recorded }: RackNode, { observed, say }: DriftAbout): void {
  for (const { kind, name, given, wanted, now, holds } of baselineItems(spec, observed.baselines.get(node))) {
    if (holds) continue
    const was = recorded?.[kind]?.[name]
    say(`${kind}/${name}`, now === null && was === given ? 'unknown' : kindOf(given, was), {
      wanted,
      recorded: was,
      observed: now ?? 'not read yet',
    })
  }
}

/** What is really there, as it was read last. */
function hardwareDrift({ name, spec }: WantedUnit, node: RackNode, { boot, say }: DriftAbout): void {
  const { power_state: power, hardware } = node
  if (spec.want === 'active' && node.provision_state === 'active' && power !== 'power on')
    say('power', power === 'power off' ? 'changed' : 'unknown', {
      wanted: 'power on',
      observed: power ?? 'not read yet',
    })
  for (const { what, name: item, applied, now } of hardware?.changed ?? [])
    // Of what the file names, its baseline says it.
    if (!Object.hasOwn(spec[what] ?? {}, item))
      say(`${what}/${item}`, 'changed', { wanted: applied, recorded: applied, observed: now })
  const macs = hardware?.inspected_macs
  if (macs)
    for (const { address } of portsOf(spec))
      if (!macs.includes(address))
        say(`card ${address}`, 'changed', { wanted: 'there', observed: 'not found by the last inspection' })
  const mode = modeOf(spec.capabilities?.boot_mode)
  if (mode !== undefined && node.boot_mode !== null && node.boot_mode !== mode)
    say('boot mode', 'changed', { wanted: mode, observed: node.boot_mode })
  const found = boot.get(name)
  if (!found) return
  if ('error' in found) say('boot device', 'unknown', { wanted: 'disk', observed: found.error })
  else if (found.device !== 'disk')
    say('boot device', 'changed', { wanted: 'disk', observed: found.device ?? 'not known' })
}

const modeOf = (mode: unknown): string | undefined => (mode === 'uefi' || mode === 'bios' ? mode : undefined)

export const isDrift = ({ kind }: Pick<RackDifference, 'kind'>): boolean => kind === 'unapplied' || kind === 'changed'
