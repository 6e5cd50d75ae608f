/** Every interleaving of a small mesh, breadth first, over the production steps: a host with one instance, another that
 *  receives it, two leaders one after the other, OFF commands and requests that are late or lost. Time is cut down to
 *  "just now" and "long ago". */
import { stepIncident, type FenceAction } from '../../host-agent/fence/step.ts'
import { maySendOff } from '../../host-agent/fence/guards.ts'
import { stepIntent } from '../../host-agent/evacuate/intents.ts'
import { factsOf, incidentOf, intentFactsOf, intentOf, visible } from './model-facts.ts'
import { IDLE, type Leader, type Rules, type State } from './model-state.ts'

type Next = readonly [label: string, state: State]
const pair = <T>(list: readonly [T, T], i: number, value: T): [T, T] => (i === 0 ? [value, list[1]] : [list[0], value])

export function nextStates(state: State, rules: Rules): Next[] {
  const out: Next[] = [...environment(state, rules)]
  for (const i of [0, 1] as const) if (state.leaders[i].on) out.push(...leaderActs(state, i, rules))
  return out.map(([label, next]) => [label, judged(state, next)])
}

function judged(before: State, state: State): State {
  if (state.wrong) return state
  if (state.intentEpoch < before.intentEpoch) return { ...state, wrong: 'the epoch falls' }
  if (state.src && state.host === 'run' && state.copies > 0) return { ...state, wrong: 'double run' }
  if (state.copies > 1) return { ...state, wrong: 'duplicate evacuation' }
  return state
}

function environment(state: State, rules: Rules): Next[] {
  const out: Next[] = []
  const to = (label: string, change: Partial<State>) => out.push([label, { ...state, ...change }])
  if (state.host === 'run') to('the host stalls', { host: 'stall' })
  if (state.host === 'stall') to('the host goes on', { host: 'run' })
  to(state.reach ? 'the network is cut' : 'the network heals', { reach: !state.reach })
  if (state.host !== 'off') to('the power fails', { host: 'off', src: false })
  if (state.host === 'off' && state.boot === 0) to('the host boots', { host: 'run', boot: 1, src: !rules.gate })
  for (const i of [0, 1] as const) {
    if (state.commands[i] > 0) {
      const commands = pair(state.commands, i, state.commands[i] - 1)
      const over = state.incident === '' || state.incident === 'recovered' || state.incident === 'cancelled'
      const late = state.host !== 'off' && over ? 'late fence' : ''
      to(`OFF of leader ${i + 1} takes effect`, { commands, host: 'off', src: false, wrong: late })
      to(`OFF of leader ${i + 1} is lost`, { commands })
    }
    if (state.posts[i] > 0) {
      const posts = pair(state.posts, i, state.posts[i] - 1)
      // A second request while a move is under way makes a second guest, but for one that went to a host that was
      // fenced.
      const again = state.moves === 'moving'
      const fine = again && state.target !== 'well' && state.ref === 1
      const taken: Partial<State> = {
        posts,
        moves: 'moving',
        ref: again ? 2 : 1,
        waiting: fine && state.target === 'dead',
        copies: again && !fine ? state.copies + 1 : state.copies,
      }
      const leader = state.leaders[i]
      // What was looked up before the request ended is older than it.
      const told = (request: Leader['request']) => ({
        leaders: pair(state.leaders, i, { ...leader, request, truth: '' as const }),
      })
      to(`the request of leader ${i + 1} is taken`, { ...taken, ...told('accepted') })
      if (state.lost < 1)
        to(`the request of leader ${i + 1} is taken, the answer is lost`, { ...taken, ...told('unknown'), lost: 1 })
      if (state.lost < 1) to(`the request of leader ${i + 1} is lost`, { posts, ...told('unknown'), lost: 1 })
      if (state.lost < 1 && leader.request === 'under way')
        to(`leader ${i + 1} waits no longer for its answer`, { ...told('unknown'), lost: 1 })
    }
  }
  if (state.moves === 'moving' && (state.ref === 2 || state.target === 'well'))
    to('the instance starts elsewhere', { moves: 'done', copies: state.copies + 1 })
  if (state.moves === 'moving' && state.ref === 1 && state.target === 'well') to('its target dies', { target: 'dead' })
  if (state.target === 'dead') to('the target is fenced', { target: 'fenced', waiting: false })
  if (state.target === 'dead') to('the target comes back', { target: 'well' })
  if (state.waiting && state.target === 'well')
    to('the first move goes on', { waiting: false, copies: state.copies + 1 })
  const [first, second] = state.leaders
  if (state.late)
    to('the late write of leader 1 arrives', { late: null, ...(rules.cas && state.epoch > 1 ? {} : state.late) })
  if (first.on && rules.lease)
    to('the lease of leader 1 is over', { leaders: [{ ...first, on: false, owes: '' }, second] })
  if (state.epoch === 1 && (!first.on || !rules.lease))
    to('leader 2 takes over', { epoch: 2, leaders: [first, { ...IDLE, on: true }] })
  const isOver = !rules.lease || (state.commands[0] === 0 && state.posts[0] === 0)
  if (second.on && !second.quiesced && isOver)
    to('leader 2 has waited and read the store', { leaders: [first, { ...second, quiesced: true }] })
  return out
}

function leaderActs(state: State, i: 0 | 1, rules: Rules): Next[] {
  const out: Next[] = []
  const leader = state.leaders[i]
  const me = `leader ${i + 1}`
  const epoch = i + 1
  const mine = (change: Partial<Leader>): Partial<State> => ({
    leaders: pair(state.leaders, i, { ...leader, ...change }),
  })
  const to = (label: string, change: Partial<State>) => out.push([`${me} ${label}`, { ...state, ...change }])
  const mayWrite = !rules.cas || epoch === state.epoch
  if (!leader.quiesced) return out
  if (leader.owes !== '') return owed(state, i, rules)
  // The world breaks off what was not done by its deadline.
  if (leader.off === 1)
    to('sees its OFF run into its deadline', { ...mine({ off: 2 }), commands: pair(state.commands, i, 0) })
  if (state.incident === '' && !visible(state) && mayWrite)
    to('confirms', { ...mine({}), incident: 'confirmed', incidentEpoch: epoch })
  if (state.incident === '') return out
  for (const long of [false, true]) {
    const step = stepIncident(incidentOf(state), factsOf(state, i, { long, gated: rules.gated }), rules.fence)
    const does = (wanted: FenceAction['do']) => step.actions?.some((action) => action.do === wanted) === true
    if (step.next && mayWrite) {
      const { next } = step
      const reset =
        next.state === 'recovered' || next.state === 'cancelled' ? { reads: 0 as const, off: 0 as const } : {}
      to(`stores "${next.state}"${next.offs > state.offs ? ' and OFF' : ''}${long ? ' after long' : ''}`, {
        incident: next.state,
        incidentEpoch: next.epoch,
        offs: Math.min(2, next.offs),
        proof: next.proof !== null,
        ...(next.state === 'evacuating' && state.intent === ''
          ? { intent: 'PENDING' as const, intentEpoch: epoch }
          : {}),
        ...mine({ ...reset, owes: does('power off') ? 'off' : '' }),
      })
    }
    if (step.next && i === 0 && state.late === null && rules.lease) {
      const { next } = step
      const late = {
        incident: next.state,
        incidentEpoch: next.epoch,
        offs: Math.min(2, next.offs),
        proof: next.proof !== null,
      }
      to(`writes "${next.state}" while its lease ends`, { late, ...mine({ on: false, owes: '' }) })
    }
    if (does('read power') && !step.next)
      to(
        'reads the power',
        mine({ reads: state.host === 'off' ? (leader.reads === 1 || leader.reads === 2 ? 2 : 1) : 3 }),
      )
    if (does('move instances') && state.intent !== '') out.push(...intentActs(state, i, rules))
    if (does('readmit') && state.moves !== 'moving') to('takes the host back', mine({ enabled: true }))
  }
  return out
}

/** Between storing and doing anything may happen; the last look is taken here. */
function owed(state: State, i: 0 | 1, rules: Rules): Next[] {
  const leader = state.leaders[i]
  const done = (change: Partial<State>, mine: Partial<Leader>): State => ({
    ...state,
    leaders: pair(state.leaders, i, { ...leader, owes: '', ...mine }),
    ...change,
  })
  if (leader.owes === 'off') {
    const facts = factsOf(state, i, { long: false, gated: rules.gated })
    if (!maySendOff({ do: 'power off' }, facts, rules.fence))
      return [[`leader ${i + 1} sends no OFF after all`, done({}, {})]]
    const wrong = visible(state) ? 'OFF to a living host' : ''
    return [
      [
        `leader ${i + 1} sends OFF`,
        done({ commands: pair(state.commands, i, Math.min(2, state.commands[i] + 1)), wrong }, { off: 1, reads: 0 }),
      ],
    ]
  }
  return [
    [
      `leader ${i + 1} asks for the move`,
      done({ posts: pair(state.posts, i, Math.min(2, state.posts[i] + 1)) }, { request: 'under way' }),
    ],
  ]
}

function intentActs(state: State, i: 0 | 1, rules: Rules): Next[] {
  const out: Next[] = []
  const leader = state.leaders[i]
  const me = `leader ${i + 1}`
  const mine = (change: Partial<Leader>): Partial<State> => ({
    leaders: pair(state.leaders, i, { ...leader, ...change }),
  })
  const mayWrite = !rules.cas || i + 1 === state.epoch
  const truth: Leader['truth'] =
    state.moves === 'none' ? 'source' : state.moves === 'done' ? 'moved' : state.ref === 2 ? 'moving2' : 'moving1'
  if (leader.truth !== truth) out.push([`${me} looks where the instance is`, { ...state, ...mine({ truth }) }])
  // A leader that finds an attempt which it did not make knows nothing of its request.
  const request = leader.request === 'none' && state.intent === 'INTENT' ? 'unknown' : leader.request
  const facts = intentFactsOf(state, i, { request, rules })
  const step = stepIntent(intentOf(state), facts, rules.intent)
  const start = step.effect?.do === 'start' ? 'start' : ''
  // A host that no gate holds, and that is seen to run again, is fenced again before anything else is started
  // elsewhere.
  const wrong = start && !rules.gated && visible(state) && state.boot === 1 ? 'moved although the host is back' : ''
  if (step.next && mayWrite) {
    const { next } = step
    out.push([
      `${me} stores the instance as ${next.state}`,
      {
        ...state,
        wrong,
        intent: next.state,
        intentEpoch: next.epoch,
        attempt: Math.min(2, next.attempt),
        past: next.past === null ? 0 : 1,
        ...mine({ owes: start, request: next.attempt !== state.attempt ? 'none' : leader.request }),
      },
    ])
  } else if (!step.next && start) out.push([`${me} will ask again`, { ...state, wrong, ...mine({ owes: start }) }])
  return out
}
