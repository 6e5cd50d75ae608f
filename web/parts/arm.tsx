/** Whether the mesh may fence: an administrator arms it, lets it only say what it would do, or disarms it. */
import { useSignal } from '@preact/signals'
import { send } from '../api.ts'
import { MESH, type ToldMesh } from '../mesh-api.ts'
import { me } from '../state.ts'
import { Ask, Field, FieldError, textOf } from './dialog.tsx'

const WISHES = [
  {
    label: 'Arm',
    body: { armed: true, dry_run: false },
    says: 'A host that is dead is fenced, and its instances are started elsewhere.',
    cli: 'rackward mesh arm --why …',
  },
  {
    label: 'Dry run',
    body: { armed: true, dry_run: true },
    says: 'It says what it would do, and does nothing.',
    cli: 'rackward mesh arm --dry-run --why …',
  },
  {
    label: 'Disarm',
    body: { armed: false },
    says: 'No host is fenced, however dead it is, until somebody arms the mesh again.',
    cli: 'rackward mesh disarm --why …',
  },
] as const
type ArmWish = (typeof WISHES)[number]

const isNow = ({ body }: ArmWish, mesh: ToldMesh): boolean =>
  body.armed === mesh.armed && (!body.armed || body.dry_run === mesh.dry_run)

export function ArmActs({ mesh }: { readonly mesh: ToldMesh }) {
  const asked = useSignal<ArmWish | null>(null)
  if (me.value?.role !== 'admin' || me.value.read_only || me.value.project !== null) return null
  const wish = asked.value
  return (
    <div class="buttons">
      {WISHES.filter((one) => !isNow(one, mesh)).map((one) => (
        <button type="button" key={one.label} onClick={() => (asked.value = one)}>
          {one.label}
        </button>
      ))}
      {wish && (
        <Ask
          title={`${wish.label}: the mesh`}
          verb={wish.label}
          danger={!wish.body.armed}
          act={async (data) => {
            const reason = textOf(data, 'reason')
            if (reason === '') throw new FieldError('reason', 'Reason: give one; it is kept with the change')
            // Arbiters of version 0.2 know a reason as `why` alone, and are disarmed before they are upgraded.
            const body = { ...wish.body, why: reason }
            await send({ method: 'PUT', path: `${MESH}/policy`, body }, me.value?.csrf ?? null)
          }}
          onClose={() => (asked.value = null)}
        >
          <p class={wish.body.armed ? '' : 'warning'}>{wish.says}</p>
          <Field name="reason" label="Reason" api="why" hint="It is kept with the change, and shown to all." />
          <p class="muted cli">
            <code>{wish.cli}</code>
          </p>
        </Ask>
      )}
    </div>
  )
}
