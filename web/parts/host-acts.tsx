/** What a person may ask of a host of the mesh: maintenance, a drain, a fence, and its removal. */
import { useSignal } from '@preact/signals'
import { send, type Change } from '../api.ts'
import { nowMs } from '../browser.ts'
import { clockTime } from '../format.ts'
import { hostPath, type Hold, type HostAccount } from '../mesh-api.ts'
import { me } from '../state.ts'
import { Ask, Choice, Field, FieldError, mustType, textOf } from './dialog.tsx'

type Kind = 'maintenance' | 'drain' | 'release' | 'fence' | 'remove'

interface HostAct {
  readonly kind: Kind
  readonly label: string
  readonly description: string
  readonly role: 'operator' | 'admin'
  readonly fits: (host: HostAccount) => boolean
  readonly cli: (host: string) => string
}

const ACTS: readonly HostAct[] = [
  {
    kind: 'maintenance',
    label: 'Maintenance on',
    description: 'The host is worked on: it is not fenced, whatever it does. Its instances stay where they are.',
    role: 'operator',
    fits: ({ hold }) => hold === null,
    cli: (host) => `rackward mesh maintenance on ${host}`,
  },
  {
    kind: 'drain',
    label: 'Drain',
    description: 'Its instances are moved live to other hosts; then it is in maintenance.',
    role: 'operator',
    fits: ({ hold }) => hold === null,
    cli: (host) => `rackward mesh drain ${host}`,
  },
  {
    kind: 'release',
    label: 'End the hold',
    description: 'The host is watched again, and fenced when it dies.',
    role: 'operator',
    fits: ({ hold }) => hold !== null,
    cli: (host) => `rackward mesh maintenance off ${host}`,
  },
  {
    kind: 'fence',
    label: 'Fence',
    description: 'The host is switched off at once, whatever runs on it, and its instances are started elsewhere.',
    role: 'admin',
    fits: ({ incident }) => incident === null,
    cli: (host) => `rackward mesh fence ${host} --confirm ${host}`,
  },
  {
    kind: 'remove',
    label: 'Remove',
    description: 'The host is no longer a member of the mesh: nobody watches it. What runs on it goes on.',
    role: 'admin',
    fits: ({ incident }) => incident === null,
    cli: (host) => `rackward mesh remove ${host} --confirm ${host}`,
  },
]
const TYPED: Readonly<Partial<Record<Kind, string>>> = {
  fence: 'it is switched off',
  remove: 'nobody watches it any more',
}
const TIMES = [
  ['', 'until it is ended'],
  ['1800', '30 minutes'],
  ['7200', '2 hours'],
  ['28800', '8 hours'],
  ['86400', 'a day'],
] as const

/** Throws `FieldError`. A hold that came meanwhile stays: it is neither replaced nor ended. */
function changeOf(kind: Kind, data: FormData, { host, ends }: { host: string; ends: Hold | null }): Change {
  const path = hostPath(host)
  const reason = textOf(data, 'reason')
  if (TYPED[kind] !== undefined) mustType(data, host, TYPED[kind])
  if (kind === 'release') return { method: 'DELETE', path: `${path}/hold`, body: { reason: ends?.reason } }
  if (kind === 'fence') return { method: 'POST', path: `${path}/fence`, body: { host } }
  if (kind === 'remove') return { method: 'DELETE', path }
  if (reason === '') throw new FieldError('reason', 'Reason: give one; others read it before they act on the host')
  const seconds = textOf(data, 'seconds') === '' ? null : Number(textOf(data, 'seconds'))
  return { method: 'PUT', path: `${path}/hold`, body: { kind, why: reason, seconds, unless_held: true } }
}

export function HostActs({ host, onDone }: { readonly host: HostAccount; readonly onDone: () => void }) {
  const asked = useSignal<HostAct | null>(null)
  /** The hold that was there when the question was asked. */
  const ends = useSignal<Hold | null>(null)
  const done = useSignal('')
  const user = me.value
  const found = ACTS.filter(({ fits, role }) => fits(host) && (role === 'operator' || user?.role === 'admin'))
  if (!user || user.role === 'reader' || user.read_only) return null
  const act = asked.value
  const isHold = act?.kind === 'maintenance' || act?.kind === 'drain'
  const isTyped = act !== null && TYPED[act.kind] !== undefined
  return (
    <section class="card acts" aria-label="Requests">
      <h2>Requests</h2>
      <div class="buttons">
        {found.map((one) => (
          <button
            type="button"
            key={one.kind}
            class={one.kind === 'fence' ? 'erases' : ''}
            title={one.description}
            onClick={() => {
              asked.value = one
              ends.value = one.kind === 'release' ? host.hold : null
            }}
          >
            {one.label}
          </button>
        ))}
      </div>
      {done.value && <p role="status">{done.value}</p>}
      {act && (
        <Ask
          title={`${act.label}: ${host.name}`}
          verb={act.label}
          danger={isTyped}
          act={(data) => send(changeOf(act.kind, data, { host: host.name, ends: ends.value }), user.csrf)}
          onClose={(wasDone) => {
            asked.value = null
            if (!wasDone) return
            done.value = `${act.label}: accepted at ${clockTime(nowMs())}.`
            onDone()
          }}
        >
          <p class={isTyped ? 'warning' : ''}>{act.description}</p>
          {ends.value && (
            <p class={ends.value.kind === 'deploying' ? 'warning' : ''}>
              It is held by {ends.value.requested_by} ({ends.value.kind}): {ends.value.reason}
              {ends.value.kind === 'deploying' && '. Fencing would interrupt this.'}
            </p>
          )}
          {isHold && (
            <Field name="reason" label="Reason" api="why" hint="Others read it before they act on the host." />
          )}
          {act.kind === 'maintenance' && <Choice name="seconds" label="For" choices={TIMES} />}
          {isTyped && <Field name="confirm" label="Name" hint={`Type ${host.name} to confirm.`} />}
          <p class="muted cli">
            <code>{act.cli(host.name)}</code>
          </p>
        </Ask>
      )}
    </section>
  )
}
