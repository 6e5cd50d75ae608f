/** What the benchmark of redeploys prints: the ratio to the floor, what each step of a redeploy costs beside the step
 *  of the floor that does the same, and how far off the estimates of the conductor were. Pure. */
import type { Redeploy, RedeployReport } from './redeploy.ts'
import type { RedeployFloor } from './redeploy-floor.ts'

/** Estimates have this many deploys to learn from. */
const LEARNT_OF = 5
/** To reach, of the whole deploy. */
const MOST_OFF = 0.2

export function medianOf(values: readonly number[]): number | null {
  const sorted = [...values].sort((a, b) => a - b)
  const [low, high] = [sorted[Math.floor((sorted.length - 1) / 2)], sorted[Math.floor(sorted.length / 2)]]
  return low === undefined || high === undefined ? null : (low + high) / 2
}

const fixed = (value: number): string => value.toFixed(1)
const percent = (share: number): string => `${share > 0 ? '+' : ''}${Math.round(share * 100)} %`
const row = (name: string, values: string) => `  ${name.padEnd(34)} ${values}`

interface StepCost {
  readonly name: string
  readonly tookS: number | null
  /** What does the same work in the floor. */
  readonly floorS: number | null
}

/** Steps of the agent are parts of its state; what is left of the state is the way of the order to it and back. */
const AGENT_STEPS = ['prepare', 'write', 'readback', 'kexec', 'finish'] as const
const AGENT_STATE = /^wait call-back/
const JUMP_STATE = /\(jump\)$/

/** Medians of the redeploys by kexec, in their order; the sum is the time of one. */
export function stepCosts(redeploys: readonly Redeploy[], floors: readonly RedeployFloor[]): StepCost[] {
  const jumped = redeploys.filter(({ how }) => how === 'kexec')
  const of = (pick: (one: Redeploy) => number | undefined) => medianOf(jumped.flatMap((one) => pick(one) ?? []))
  const floor = (pick: (one: RedeployFloor) => number) => medianOf(floors.map(pick))
  const sumOf = ({ phases }: Redeploy, wanted: (name: string) => boolean) => {
    const found = Object.entries(phases).filter(([name]) => wanted(name))
    return found.length === 0 ? undefined : found.reduce((sum, [, took]) => sum + took, 0)
  }
  const isAgent = (name: string) => AGENT_STEPS.some((step) => step === name)
  const state = (one: Redeploy) => sumOf(one, (name) => AGENT_STATE.test(name))
  const dd = floor((one) => one.dd)
  const steps = AGENT_STEPS.map((name) => ({
    name: `agent: ${name}`,
    tookS: of(({ phases }) => phases[name]),
    floorS: name === 'write' ? dd : name === 'kexec' ? floor(({ load }) => load) : null,
  }))
  const known = (one: Redeploy) =>
    (sumOf(one, (name) => isAgent(name) || AGENT_STATE.test(name) || JUMP_STATE.test(name)) ?? 0) -
    (sumOf(one, isAgent) ?? 0) +
    (one.phases.ssh ?? 0)
  return [
    ...steps,
    {
      name: 'agent: way of the order, and back',
      tookS: of((one) => {
        const whole = state(one)
        return whole === undefined ? undefined : whole - (sumOf(one, isAgent) ?? 0)
      }),
      floorS: null,
    },
    {
      name: 'jump, until the system is heard',
      tookS: of((one) => sumOf(one, (name) => JUMP_STATE.test(name))),
      floorS: null,
    },
    {
      name: 'from there until SSH answers',
      tookS: of(({ phases }) => phases.ssh),
      floorS: null,
    },
    {
      name: 'jump until SSH answers',
      tookS: of((one) => {
        const jump = sumOf(one, (name) => JUMP_STATE.test(name))
        return jump === undefined ? undefined : jump + (one.phases.ssh ?? 0)
      }),
      floorS: floor(({ boot }) => boot),
    },
    { name: 'conductor, before and between', tookS: of((one) => one.total - known(one)), floorS: null },
  ]
}

/** How far the estimates of one redeploy were off, as shares of the whole. */
export function offOf({ estimates, active }: Pick<Redeploy, 'estimates' | 'active'>): {
  readonly worst: number
  readonly median: number
  readonly within: number
} | null {
  const off = estimates.map(({ said, left }) => (said - left) / active)
  if (off.length === 0) return null
  const worst = off.reduce((most, one) => (Math.abs(one) > Math.abs(most) ? one : most), 0)
  const within = off.filter((one) => Math.abs(one) <= MOST_OFF).length / off.length
  return { worst, median: medianOf(off) ?? 0, within }
}

function estimateRows(redeploys: readonly Redeploy[]): string[] {
  const told = redeploys.flatMap((one, i) => {
    const off = offOf(one)
    if (!off) return []
    const { worst, median, within } = off
    const before = `after ${i} ${i === 1 ? 'deploy' : 'deploys'}${one.how === 'cold' ? ', cold' : ''}`
    return [
      row(
        before,
        `off by ${percent(median).padStart(6)} in the median, ${percent(worst).padStart(6)} at worst; ${Math.round(100 * within)} % of ${one.estimates.length} within 20 %`,
      ),
    ]
  })
  if (told.length === 0) return []
  const learnt = redeploys.slice(LEARNT_OF).flatMap((one) => offOf(one) ?? [])
  const verdict =
    learnt.length === 0
      ? `none was made after ${LEARNT_OF} deploys: --rounds ${LEARNT_OF} and more`
      : `${learnt.every(({ worst }) => Math.abs(worst) <= MOST_OFF) ? 'reached' : 'NOT reached'} (each within 20 % after ${LEARNT_OF} deploys)`
  return [`estimates, as shares of the time until active: ${verdict}`, ...told, ...lastRows(redeploys)]
}

/** Of the last redeploy by kexec. */
function lastRows(redeploys: readonly Redeploy[]): string[] {
  const last = redeploys.filter(({ how }) => how === 'kexec').at(-1)
  if (!last || last.estimates.length === 0) return []
  const wanted = [0, 0.2, 0.4, 0.6, 0.8].map((share) => last.estimates.find(({ at }) => at >= share * last.active))
  return [
    `  of the last redeploy, which took ${fixed(last.active)} s`,
    ...[...new Set(wanted)].flatMap((one) =>
      one
        ? [
            `    at ${fixed(one.at).padStart(6)} s  said ${fixed(one.said).padStart(6)} s left, were ${fixed(one.left).padStart(6)} s  (${percent((one.said - one.left) / last.active)})`,
          ]
        : [],
    ),
  ]
}

const seconds = (value: number | null): string => (value === null ? '-' : `${fixed(value)} s`).padStart(9)

export function redeployTable({ firmware, floors, redeploys, ratios, cpuRatio }: RedeployReport): string {
  const totals = (how: Redeploy['how']) =>
    `${redeploys
      .filter((one) => one.how === how)
      .map(({ total }) => fixed(total))
      .join(', ')} s`
  const told = (how: Redeploy['how']) => (ratios[how] === null ? '-' : ratios[how].toFixed(2))
  return [
    `redeploy of a parked server, until SSH answers: ${firmware}`,
    ...floors.map(({ total, dd, load, boot, cpu }) =>
      row('floor', `${fixed(total)} s  (dd ${dd}, load ${load}, boot ${boot}, cpu ${fixed(cpu)})`),
    ),
    row('cold', totals('cold')),
    row('kexec', totals('kexec')),
    `ratio          cold ${told('cold')}, kexec ${told('kexec')}  (redeploy / floor; to reach by kexec: 1.20)`,
    `               kexec ${cpuRatio === null ? '-' : cpuRatio.toFixed(2)} of the seconds of a core that the guests took`,
    `${'steps of a redeploy by kexec, medians'.padEnd(36)} ${'kexec'.padStart(9)} ${'floor'.padStart(9)}`,
    ...stepCosts(redeploys, floors).map(({ name, tookS, floorS }) => row(name, `${seconds(tookS)} ${seconds(floorS)}`)),
    ...estimateRows(redeploys),
  ].join('\n')
}
