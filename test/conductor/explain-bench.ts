/** An account of what was seen of a boot: its milestones and signs, one second after the other. */
import type { Progress } from '../../conductor/api/agent-wire.ts'
import { isSign, type Sign } from '../../conductor/boot/signs.ts'
import { isMilestone, type Milestone } from '../../conductor/boot/wire.ts'
import type { PollSeen } from '../../conductor/node/query/account.ts'
import { explain, type Facts } from '../../conductor/node/query/explain.ts'
import { Sightings } from '../../conductor/node/query/sightings.ts'
import { NO_PAST, type Past } from '../../conductor/node/policy/usual-time.ts'
import { FAULTS, type FaultCode } from '../../kit/fault.ts'
import { newNode, type NodeRecord, type Workflow } from '../../conductor/node/record.ts'

export type Step = Milestone | Sign | readonly [Milestone | Sign, string]
export interface Seen {
  readonly node?: Partial<NodeRecord>
  readonly workflow?: Partial<Workflow>
  /** System UUIDs that were heard from its address before it was told to boot. */
  readonly machinesBefore?: readonly string[]
  /** In this order, a second apart. */
  readonly steps?: readonly Step[]
  readonly poll?: PollSeen
  readonly strangers?: readonly string[]
  readonly strangersBefore?: readonly string[]
  readonly sharers?: readonly string[]
  readonly othersHeard?: number
  readonly past?: Past
  readonly progress?: Progress
  readonly segments?: NonNullable<Facts['segments']>
  /** Unheard: the conductor started after it was heard. */
  readonly agent?: 'silent' | 'there' | 'unheard'
}

const BOOTED_MS = 1_000
const NOW_MS = 200_000
export const AGENT = { sessionHash: 'h', generation: 1, tokenMs: 0, helloAtMs: 90_000 }

export const failed = (code: FaultCode, text = ''): Seen => ({
  node: {
    provisionState: 'deploy failed',
    lastFault: { code, atMs: 0 },
    lastError: `deploy failed: ${text} (${FAULTS[code].remedy})`,
  },
})
export const poll = (code: FaultCode): PollSeen => ({ okAtMs: 1, failures: 3, fault: `the BMC: ${code}`, code })

export const TO_IPXE: readonly Step[] = [
  'machine',
  'offer',
  'dhcp',
  'tftp-ask',
  ['loader', 'snponly.efi: iPXE'],
  'ipxe-dhcp',
]
export const TO_KERNEL: readonly Step[] = [...TO_IPXE, 'script', ['http-ask', '/ramdisk/kernel'], 'kernel']
export const TO_INITRD: readonly Step[] = [...TO_KERNEL, ['http-ask', '/ramdisk/initrd'], 'initrd']

export function accountOf({ node, workflow, steps = [], machinesBefore = [], poll, agent, progress, ...more }: Seen) {
  const sightings = new Sightings()
  for (const detail of machinesBefore) sightings.sign('u', 'machine', { atMs: BOOTED_MS - 500, detail })
  // Told twice, as by its order and when the server is switched on.
  sightings.booting('u', BOOTED_MS - 100)
  sightings.booting('u', BOOTED_MS)
  steps.forEach((step, i) => {
    const [name, detail] = typeof step === 'string' ? [step, ''] : step
    const sighting = { atMs: BOOTED_MS + (i + 1) * 1000, detail }
    if (isMilestone(name)) sightings.note('u', name, sighting)
    else if (isSign(name)) sightings.sign('u', name, sighting)
  })
  const live = sightings.of('u')
  if (agent && agent !== 'unheard') live.agentAtMs = agent === 'silent' ? 90_000 : NOW_MS - 1_000
  if (progress) live.progress = progress
  const made = newNode(
    { uuid: 'u', driver: 'ipmi', provisionState: 'inspect wait', provisionUpdatedAtMs: 0, powerState: 'power on' },
    0,
  )
  const facts: Facts = {
    node: {
      ...made,
      agent: agent ? AGENT : null,
      workflow: { ...made.workflow, phase: 'agent', ...workflow },
      ...node,
    },
    nowMs: NOW_MS,
    conductor: 'c',
    live,
    poll,
    past: NO_PAST,
    strangers: [],
    sharers: [],
    ports: [],
    ...more,
  }
  return explain(facts)
}
