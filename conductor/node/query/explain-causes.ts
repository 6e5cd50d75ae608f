/** The likely causes of what a node waits for, the likeliest first. Pure. */
import { FAULTS, type FaultCode } from '../../../kit/fault.ts'
import { MILESTONE_ORDER, MILESTONES, nextMilestone } from '../../boot/wire.ts'
import type { NodeRecord } from '../record.ts'
import { STATES } from '../workflow/states.ts'
import type { Cause, PollSeen } from './account.ts'
import { MISSING, type Missing } from './boot-causes.ts'
import { bootPathOf } from './boot-path.ts'
import { evidenceOf, type BootEvidence } from './boot-evidence.ts'
import { causesBefore, causesSeen, sideCauses, twins } from './boot-rules.ts'
import { causesOfBmc } from './explain-bmc.ts'
import { causesOfJump, causesOfSlow } from './explain-late.ts'
import { lastSeenText, type Live } from './sightings.ts'

export interface CauseFacts {
  readonly node: NodeRecord
  readonly nowMs: number
  readonly live: Live
  readonly poll: PollSeen | undefined
  readonly strangers: readonly string[]
  readonly strangersBefore?: readonly string[] | undefined
  readonly othersHeard?: number | undefined
  /** How long its state usually lasts at most; undefined: nobody knows. */
  readonly usualMs?: number | undefined
  /** It waits in its loader for its turn. */
  readonly hasPlace: boolean
}

const SILENT_MS = 30_000
/** For so long after a boot, what it had to go round is told. */
const TOLD_AFTER_MS = 15 * 60_000

const ofFault = (code: FaultCode, evidence: string | null): Cause => ({
  cause: FAULTS[code].description,
  evidence: [evidence ?? ''],
  remedy: FAULTS[code].remedy,
})

export function causesOf(facts: CauseFacts): Cause[] {
  const { node, poll } = facts
  const { kind } = STATES[node.provisionState]
  const fault = node.lastFault?.code
  if (kind === 'failed' || node.fault !== null) {
    if (!fault) return []
    // What was seen of the boot says more than that its time is over.
    const boot = fault === 'node.timeout' && facts.live.bootedAtMs > 0 ? causesOfBoot(facts) : []
    const claimed = fault === 'node.claimed' ? twins(facts) : []
    return [...boot, ...claimed, ofFault(fault, node.lastError)]
  }
  if (node.workflow.pendingEffects.length > 0 && node.workflow.tries > 0) return causesOfEffect(facts)
  if (kind !== 'waiting')
    return [
      ...causesOfJump(facts),
      ...causesOfEndedBoot(facts),
      ...(poll && poll.failures > 0 ? [causeOfPoll(poll)] : []),
    ]
  if (node.workflow.phase === 'bmc') return causesOfBmc(node, facts.nowMs)
  // Its end needs the BMC, which is asked to restart the server.
  if (node.agent) return [...twins(facts), ...causesOfAgent(facts), ...sideCauses(facts), ...causesOfLostBmc(facts)]
  if (facts.hasPlace) return []
  return [
    ...switchedOff(facts),
    ...deadMachine(facts),
    ...causesOfBoot(facts),
    ...(poll?.failures ? [causeOfPoll(poll)] : []),
  ]
}

/** Of a boot that came to its end a moment ago. */
const causesOfEndedBoot = ({ live, nowMs }: CauseFacts): Cause[] =>
  live.seen.has('hello') && nowMs - live.bootedAtMs < TOLD_AFTER_MS ? sideCauses({ live }) : []

function causesOfEffect({ node }: CauseFacts): Cause[] {
  const { pendingEffects, tries } = node.workflow
  const what = `${pendingEffects[0]?.do} failed ${tries} times and is tried again`
  const code = node.lastFault?.code
  return code
    ? [{ ...ofFault(code, node.lastError), evidence: [what, node.lastError ?? ''] }]
    : [{ cause: what, evidence: [node.lastError ?? ''], remedy: 'look at the BMC' }]
}

const causeOfPoll = ({ code, fault }: PollSeen): Cause => ({
  cause: code ? FAULTS[code].description : 'the BMC does not answer',
  evidence: [fault ?? ''],
  remedy: FAULTS[code ?? 'bmc.unreachable'].remedy,
})

const LOST_AFTER_POLLS = 2
/** One poll that fails is no news. */
const causesOfLostBmc = ({ poll }: CauseFacts): Cause[] =>
  poll && poll.failures >= LOST_AFTER_POLLS ? [causeOfPoll(poll)] : []

/** Nothing is owed while a node waits: nobody here switched it off. */
function switchedOff({ node, live }: CauseFacts): Cause[] {
  if (node.powerState !== 'power off') return []
  const path = bootPathOf(node, live)
  const began = live.seen.size > 0 || node.agent !== null
  return [
    {
      cause: began
        ? 'the server was switched off, or lost its power, on the way: not by this conductor'
        : 'the server is off',
      evidence: [
        'power_state is "power off"',
        `last seen: ${lastSeenText(live.seen, node.agent ? live.progress : null, path)}`,
      ],
      remedy: 'look at the power supply, at the event log of the BMC, and whether somebody else uses the BMC',
    },
  ]
}

/** What has neither power for its BMC nor a word on the network. */
function deadMachine({ node, live, poll, nowMs }: CauseFacts): Cause[] {
  if (!poll || poll.failures < LOST_AFTER_POLLS || poll.code !== 'bmc.unreachable') return []
  const heardMs = Math.max(0, ...[...live.seen.values(), ...live.signs.values()].map(({ atMs }) => atMs))
  if (nowMs - heardMs <= SILENT_MS) return []
  return [
    {
      cause: 'the server and its BMC are both silent: no power, or their switch is away',
      evidence: [
        poll.fault ?? '',
        heardMs === 0
          ? 'nothing was seen of its boot'
          : `nothing was seen of its boot for ${Math.round((nowMs - heardMs) / 1000)} s: ${lastSeenText(live.seen, null, bootPathOf(node, live))}`,
      ],
      remedy: 'look at the power supply of the server, and at the switches of its rack',
    },
  ]
}

/** Before it called, or after it fell silent. */
function causesOfAgent(facts: CauseFacts): Cause[] {
  const { node, live, nowMs, poll } = facts
  const off = switchedOff(facts)
  const silentMs = nowMs - live.agentAtMs
  if (silentMs <= SILENT_MS) return [...off, ...causesOfSlow(facts)]
  const lastSeen = lastSeenText(live.seen, live.progress, bootPathOf(node, live))
  const lastHeard =
    live.agentAtMs > 0
      ? `it was last heard ${Math.round(silentMs / 1000)} s ago: ${lastSeen}`
      : `it was not heard since this conductor started: ${lastSeen}`
  const causes: Cause[] = [...off]
  const again = Math.max(
    0,
    ...(['dhcp', 'loader', 'ipxe-dhcp', 'script'] as const).map((step) => live.seen.get(step)?.atMs ?? 0),
  )
  if (again > live.agentAtMs)
    causes.push({
      cause: 'the server restarted by itself',
      evidence: [lastHeard, 'its firmware, or a system on its disk, asked for an address after that'],
      remedy: 'look at the event log of the BMC (power, watchdog, memory), and whether somebody else uses the BMC',
    })
  const unreached = live.signs.get('agent-unreached')
  if (unreached && unreached.atMs > live.agentAtMs)
    causes.push({
      cause: 'the agent runs, and does not reach the agent port any more',
      evidence: [lastHeard, evidenceOf('agent-unreached', unreached)],
      remedy: 'let TCP to agent.port pass from the provisioning network',
    })
  const distrusts = live.signs.get('agent-distrusts')
  if (distrusts && distrusts.atMs > live.agentAtMs)
    causes.push({
      cause: 'the agent does not accept the certificate of the conductor any more',
      evidence: [lastHeard, evidenceOf('agent-distrusts', distrusts)],
      remedy:
        'look whether the certificate in the data directory was replaced, and for a proxy or another conductor at agent.address; then boot the node again',
    })
  const panic = live.signs.get('says-panic')
  if (panic && panic.atMs > live.agentAtMs)
    causes.push({
      cause: 'the kernel of the ramdisk panicked',
      evidence: [lastHeard, panic.details.join('; ')],
      remedy: 'look at the console, and test the memory of the server',
    })
  if (poll && poll.failures > 0 && poll.code === 'bmc.unreachable')
    causes.push({
      cause: 'the server and its BMC are both silent: no power, or their switch is away',
      evidence: [lastHeard, poll.fault ?? ''],
      remedy: 'look at the power supply of the server, and at the switches of its rack',
    })
  return [...causes, lostAgent(facts, lastHeard)]
}

/** Where its BMC says that the server has run all the while, it is not the power. */
function lostAgent({ node, live, poll }: CauseFacts, lastHeard: string): Cause {
  const remedy = 'look at the console; it is booted again when its deadline passes'
  const isOn = node.powerState === 'power on' && poll?.failures === 0 && (poll.okAtMs ?? 0) > live.agentAtMs
  return isOn && live.agentAtMs > 0
    ? {
        cause: 'the agent was lost while its server is on: its network is cut, or the machine hangs',
        evidence: [lastHeard, 'its BMC answered after that: power_state is "power on"'],
        remedy: `look at the link and the switch port of the server, and ${remedy}`,
      }
    : { cause: 'the agent was lost: power, network, or the machine hangs', evidence: [lastHeard], remedy }
}

/** What was seen comes before what is only missing. */
function causesOfBoot(facts: CauseFacts): Cause[] {
  const { node, live, nowMs, strangers, strangersBefore = [], othersHeard } = facts
  const path = bootPathOf(node, live)
  const at: BootEvidence = { node, live, path, nowMs, strangers, strangersBefore, othersHeard }
  const reached = MILESTONE_ORDER.filter((milestone) => live.seen.has(milestone))
  const next = nextMilestone(live.seen, path)
  const evidence = [
    reached.length > 0
      ? `seen: ${reached.map((milestone) => MILESTONES[milestone].seen).join(', ')}`
      : live.bootedAtMs > 0
        ? `nothing was seen in ${Math.round((nowMs - live.bootedAtMs) / 1000)} s since it was told to boot`
        : 'nothing was seen of its boot since this conductor started',
    ...(next ? [MILESTONES[next].missing] : []),
  ]
  // What was inspected through this ramdisk before can run it.
  const known = node.inspectionFinishedAtMs !== null
  const ranked = [...(next ? MISSING[next] : [])].sort((a, b) => weightOf(a, known) - weightOf(b, known))
  const missing = ranked.map(([cause, remedy]): Cause => ({ cause, evidence, remedy }))
  return [...causesSeen(at), ...missing, ...causesBefore(at)]
}

const weightOf = ({ 2: when }: Missing, known: boolean): number => (known && when === 'first boot' ? 1 : 0)
