/** Roll-outs of plans: how far each is, canaries first, and the queue of its nodes. */
import { useSignal } from '@preact/signals'
import { send } from '../api.ts'
import { fullTime } from '../format.ts'
import { Ask } from '../parts/dialog.tsx'
import { Freshness } from '../parts/polled.tsx'
import type { Tone } from '../parts/state.tsx'
import { Queue } from '../parts/queue.tsx'
import { Windowed } from '../parts/windowed.tsx'
import { usePolled } from '../poll.ts'
import { Link, nodePath, rolloutAddress } from '../router.tsx'
import { findNode, me, serverNowMs } from '../state.ts'

interface Turn {
  readonly node: string
  readonly uuid: string
  readonly canary: boolean
  readonly state: string
  readonly stage: number
  readonly stages: number
  readonly doing: string | null
  readonly why: string | null
}

interface RolloutAnswer {
  readonly id: string
  readonly site: string
  readonly state: string
  readonly why: string | null
  readonly by: string
  readonly created_at: string
  readonly updated_at: string | null
  readonly counts: Readonly<Record<string, number>>
  readonly at_once: number
  readonly at_once_per_rack: number | null
  readonly stop_after: number
  readonly canaries: number
  readonly canaries_done_at: string | null
  readonly held_until: string | null
  readonly nodes?: readonly Turn[]
}

const PATH = '/rackward/v1/rollouts'
const EVERY_MS = 3_000
const SIGNS: Readonly<Record<string, readonly [Tone, string]>> = {
  preparing: ['busy', '◐'],
  running: ['busy', '◐'],
  paused: ['warn', '▲'],
  stopped: ['bad', '✖'],
  failed: ['bad', '✖'],
  done: ['good', '●'],
  cancelled: ['idle', '○'],
  waiting: ['idle', '○'],
}

function State({ state }: { readonly state: string }) {
  const [tone, sign] = SIGNS[state] ?? (['bad', '✖'] as const)
  return (
    <span class={`state tone-${tone}`}>
      <span aria-hidden="true">{sign}</span> {state}
    </span>
  )
}

function progressOf({ counts }: RolloutAnswer): string {
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0)
  const { done = 0, failed = 0, running = 0 } = counts
  return [
    `${done} of ${total} done`,
    ...(running > 0 ? [`${running} under way`] : []),
    ...(failed > 0 ? [`${failed} failed`] : []),
  ].join(', ')
}

export function Rollouts() {
  const answer = usePolled<{ rollouts: readonly RolloutAnswer[] }>(PATH, EVERY_MS)
  return (
    <>
      <div class="bar">
        <h1>Roll-outs</h1>
      </div>
      <Freshness answer={answer} everyS={EVERY_MS / 1000} whom="the conductor" />
      {answer.value && (
        <Windowed
          label="Table of roll-outs"
          class="rollout-list"
          columns={['Site', 'State', 'Nodes', 'Begun', 'By', 'Because']}
          rows={answer.value.rollouts.toReversed()}
          row={(one) => (
            <tr key={one.id}>
              <th scope="row">
                <Link to={rolloutAddress(one.id)}>{one.site}</Link>
              </th>
              <td>
                <State state={one.state} />
              </td>
              <td>{progressOf(one)}</td>
              <td class="num">{fullTime(one.created_at)}</td>
              <td>{one.by}</td>
              <td class="says" title={one.why ?? ''}>
                {one.why}
              </td>
            </tr>
          )}
          none="No plan was rolled out yet: rackward rack plan -f rack.yaml, then rackward rack apply."
        />
      )}
      <Queue />
    </>
  )
}

const EVENTS = [
  { event: 'pause', from: ['running'], says: 'No further node begins; what a node is in the middle of goes on.' },
  { event: 'resume', from: ['paused', 'stopped'], says: 'It goes on; the failures so far are accepted.' },
  {
    event: 'cancel',
    from: ['preparing', 'running', 'paused', 'stopped'],
    says: 'No further node begins, and it cannot be resumed. What a node is in the middle of goes on.',
  },
] as const
const titled = (event: string): string => event.charAt(0).toUpperCase() + event.slice(1)
type RolloutAct = (typeof EVENTS)[number]

function RolloutActs({ rollout, onDone }: { readonly rollout: RolloutAnswer; readonly onDone: () => void }) {
  const asked = useSignal<RolloutAct | null>(null)
  const found = EVENTS.filter(({ from }) => (from as readonly string[]).includes(rollout.state))
  if (me.value?.role !== 'admin' || me.value.read_only || found.length === 0) return null
  const path = `${PATH}/${encodeURIComponent(rollout.id)}`
  return (
    <div class="buttons">
      {found.map((one) => (
        <button type="button" key={one.event} onClick={() => (asked.value = one)}>
          {titled(one.event)}
        </button>
      ))}
      {asked.value && (
        <Ask
          title={`${titled(asked.value.event)} the roll-out of ${rollout.site}`}
          verb={`${titled(asked.value.event)} the roll-out`}
          danger={asked.value.event === 'cancel'}
          act={() => send({ method: 'PATCH', path, body: { event: asked.value?.event } }, me.value?.csrf ?? null)}
          onClose={(done) => {
            asked.value = null
            if (done) onDone()
          }}
        >
          <p>{asked.value.says}</p>
          <p class="muted cli">
            <code>
              rackward rack {asked.value.event} {rollout.id}
            </code>
          </p>
        </Ask>
      )}
    </div>
  )
}

/** Whose turn it is, and why nobody else's. */
function orderOf(rollout: RolloutAnswer): string {
  const { canaries, canaries_done_at: doneAt, held_until: heldUntil, at_once_per_rack: perRack } = rollout
  const perRackText = perRack === null ? '' : `, ${perRack} of a rack`
  const rest = `At most ${rollout.at_once} at once${perRackText}; ${rollout.stop_after} failed nodes stop it.`
  if (canaries === 0) return rest
  const name = canaries === 1 ? 'The canary' : `The ${canaries} canaries`
  if (doneAt === null) return `${name} first, and a failure of one stops it. Then the others. ${rest}`
  const isHeld = heldUntil !== null && Date.parse(heldUntil) > serverNowMs.value
  return `${name}: done ${fullTime(doneAt)}${isHeld ? `; the others wait until ${fullTime(heldUntil)}` : ''}. ${rest}`
}

const TurnRow = ({ turn }: { readonly turn: Turn }) => (
  <tr>
    <th scope="row">{findNode(turn.uuid) ? <Link to={nodePath(turn.uuid)}>{turn.node}</Link> : turn.node}</th>
    <td>{turn.canary ? 'canary' : '–'}</td>
    <td>
      <State state={turn.state} />
    </td>
    <td class="num">
      {turn.state === 'done' ? turn.stages : turn.stage} of {turn.stages}
    </td>
    <td title={turn.doing ?? ''}>{turn.doing ?? '–'}</td>
    <td class="says" title={turn.why ?? ''}>
      {turn.why}
    </td>
  </tr>
)

export function Rollout({ id }: { readonly id: string }) {
  const answer = usePolled<RolloutAnswer>(`${PATH}/${encodeURIComponent(id)}`, EVERY_MS)
  const rollout = answer.value
  return (
    <>
      <div class="bar">
        <h1>Roll-out of {rollout?.site ?? id}</h1>
        {rollout && <State state={rollout.state} />}
        {rollout && <span class="muted">{progressOf(rollout)}</span>}
      </div>
      <Freshness answer={answer} everyS={EVERY_MS / 1000} whom="the conductor" />
      {rollout && (
        <div class={answer.problem ? 'stale' : ''}>
          <p class="says-head">{orderOf(rollout)}</p>
          {rollout.why !== null && <p class="card old">{rollout.why}</p>}
          <RolloutActs rollout={rollout} onDone={answer.again} />
          <Windowed
            label="Nodes in their order"
            class="rollout-nodes"
            columns={['Node', 'First', 'State', 'Stages', 'Does', 'Because']}
            rows={rollout.nodes ?? []}
            row={(turn) => <TurnRow key={turn.uuid} turn={turn} />}
            none="The plan changes no node."
          />
          <p class="muted begun">
            Begun by {rollout.by}, {fullTime(rollout.created_at)}.
          </p>
          <Queue />
        </div>
      )}
    </>
  )
}
