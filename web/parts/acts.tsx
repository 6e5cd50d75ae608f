/** What may be asked of a server now, as buttons; each says before what it ends and erases. */
import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { getJson, send, type Act, type Acts as ActList } from '../api.ts'
import { nowMs } from '../browser.ts'
import { clockTime } from '../format.ts'
import { events, me } from '../state.ts'
import { ActFields, changesOf } from './act-fields.tsx'
import { Ask, Field, mustType, textOf } from './dialog.tsx'

/** Refusals that the name of the host overrules, typed by somebody who knows. */
const OF_MESH = new Set(['mesh.member', 'mesh.unknown'])

function label(name: string): string {
  const word = name.replace('rebooting', 'reboot').replace('nmi', 'NMI')
  return word.charAt(0).toUpperCase() + word.slice(1)
}

export function ActDialog(props: {
  readonly act: Act
  readonly list: ActList
  readonly onClose: (done: boolean) => void
}) {
  const { act, list, onClose } = props
  const ofMesh = useSignal(false)
  const carryOut = async (data: FormData) => {
    if (act.erases !== null) mustType(data, list.node, `${act.erases} will be gone`)
    const changes = changesOf(act, data, list)
    const confirm = textOf(data, 'host') || undefined
    for (const change of changes) await send({ ...change, confirm }, me.value?.csrf ?? null)
  }
  return (
    <Ask
      title={`${label(act.name)} ${list.node}`}
      verb={label(act.name)}
      danger={act.erases !== null || act.ends !== null}
      act={carryOut}
      onClose={onClose}
      onRefused={({ fault }) => (ofMesh.value = OF_MESH.has(fault))}
    >
      <p>It {act.description}.</p>
      {act.erases !== null && (
        <p class="warning">
          ✖ Erases <b>{act.erases}</b>. Nobody can bring it back.
        </p>
      )}
      {act.ends !== null && (
        <p class="warning">
          ▲ Ends <b>{act.ends}</b>.
        </p>
      )}
      <ActFields act={act} list={list} />
      {act.erases !== null && <Field name="confirm" label="Name" hint={`Type ${list.node} to confirm.`} />}
      {ofMesh.value && (
        <Field
          name="host"
          label="Host of the mesh"
          hint="The mesh protects this host. Type its name to do it all the same: its guests end."
        />
      )}
      <p class="muted cli">
        <code>{act.cli}</code>
      </p>
    </Ask>
  )
}

/** Asked again whenever something happened to the node. */
export function useActs(uuid: string | undefined): ActList | undefined {
  const list = useSignal<ActList | undefined>(undefined)
  const lastSeq = events.value.find(({ node_uuid }) => node_uuid === uuid)?.seq ?? 0
  useEffect(() => {
    let over = false
    if (uuid === undefined) return
    getJson<ActList>(`/rackward/v1/nodes/${encodeURIComponent(uuid)}/acts`).then(
      (found) => {
        if (!over) list.value = found
      },
      () => undefined,
    )
    return () => void (over = true)
  }, [uuid, lastSeq])
  return list.value
}

export function Acts({ uuid }: { readonly uuid: string }) {
  const list = useActs(uuid)
  const asked = useSignal<{ act: Act; list: ActList } | null>(null)
  const done = useSignal('')
  if (!list || list.acts.length === 0) return null
  const close = (name: string) => (wasDone: boolean) => {
    asked.value = null
    if (wasDone) done.value = `${label(name)}: accepted at ${clockTime(nowMs())}.`
  }
  return (
    <section class="card acts" aria-label="Requests">
      <h2>Requests</h2>
      {(['provision', 'power', 'maintenance', 'management'] as const).map((kind) => (
        <div class="buttons" key={kind}>
          {list.acts
            .filter((act) => act.kind === kind)
            .map((act) => (
              <button
                type="button"
                key={act.name}
                class={act.erases !== null ? 'erases' : ''}
                disabled={act.refused !== null}
                title={act.refused ?? act.description}
                onClick={() => (asked.value = { act, list })}
              >
                {label(act.name)}
              </button>
            ))}
        </div>
      ))}
      <Refusals acts={list.acts} />
      {done.value && <p role="status">{done.value}</p>}
      {asked.value && <ActDialog {...asked.value} onClose={close(asked.value.act.name)} />}
    </section>
  )
}

/** The same reason, such as a lock, is said once. */
function Refusals({ acts }: { readonly acts: readonly Act[] }) {
  const reasons = new Map<string, string[]>()
  for (const { name, refused } of acts)
    if (refused !== null) reasons.set(refused, [...(reasons.get(refused) ?? []), label(name)])
  return (
    <>
      {[...reasons].map(([why, names]) => (
        <p class="muted" key={why}>
          {names.length === acts.length ? 'Nothing now' : `Not ${names.join(', ')}`}: {why}
        </p>
      ))}
    </>
  )
}
