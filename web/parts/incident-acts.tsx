/** What a person may ask of an incident: attest that its host is off, try its instances again, close it. */
import { useSignal } from '@preact/signals'
import { send } from '../api.ts'
import { nowMs } from '../browser.ts'
import { clockTime } from '../format.ts'
import { incidentPath, isLost, isOver, type Incident } from '../mesh-api.ts'
import { me } from '../state.ts'
import { Ask, Field, mustType } from './dialog.tsx'

interface IncidentAct {
  readonly kind: 'attest' | 'retry' | 'close'
  readonly label: string
  readonly description: string
  readonly fits: (incident: Incident) => boolean
}

const ACTS: readonly IncidentAct[] = [
  {
    kind: 'attest',
    label: 'Attest that it is off',
    description:
      'You say that you have seen that the host is off and stays off. Its instances are started elsewhere on your word: if it runs, they run twice and destroy their disks.',
    fits: ({ proof }) => proof === null,
  },
  {
    kind: 'retry',
    label: 'Try again',
    description: 'Instances that could not be moved are tried again.',
    fits: ({ state, instances }) => state === 'evacuated' && instances.some(isLost),
  },
  {
    kind: 'close',
    label: 'Close',
    description: 'The incident is over. What was not moved stays where it is.',
    fits: ({ state }) => state === 'evacuated',
  },
]

export function IncidentActs({ incident, onDone }: { readonly incident: Incident; readonly onDone: () => void }) {
  const asked = useSignal<IncidentAct | null>(null)
  const done = useSignal('')
  const found = ACTS.filter(({ fits }) => !isOver(incident) && fits(incident))
  if (me.value?.role !== 'admin' || (found.length === 0 && done.value === '')) return null
  const { host, id } = incident
  const carryOut = async ({ kind }: IncidentAct, data: FormData) => {
    if (kind === 'attest') mustType(data, host, 'you have seen that it is off')
    const body = kind === 'attest' ? { host } : {}
    await send({ method: 'POST', path: `${incidentPath(id)}/${kind}`, body }, me.value?.csrf ?? null)
  }
  return (
    <div class="buttons">
      {found.map((act) => (
        <button type="button" key={act.kind} onClick={() => (asked.value = act)}>
          {act.label}
        </button>
      ))}
      {done.value && <span role="status">{done.value}</span>}
      {asked.value && (
        <Ask
          title={`${asked.value.label}: ${host}`}
          verb={asked.value.label}
          danger={asked.value.kind === 'attest'}
          act={(data) => carryOut(asked.value as IncidentAct, data)}
          onClose={(wasDone) => {
            if (wasDone)
              done.value = `${asked.value?.label}: accepted at ${clockTime(nowMs())}; the leader carries it out.`
            asked.value = null
            if (wasDone) onDone()
          }}
        >
          <p class={asked.value.kind === 'attest' ? 'warning' : ''}>{asked.value.description}</p>
          {asked.value.kind === 'attest' && <Field name="confirm" label="Name" hint={`Type ${host} to confirm.`} />}
          <p class="muted cli">
            <code>
              rackward incident {asked.value.kind} {id}
              {asked.value.kind === 'attest' ? ` --confirm ${host}` : ''}
            </code>
          </p>
        </Ask>
      )}
    </div>
  )
}
