/** What the TPM of a server proved of its last boot, and the request to take another TPM after a repair. */
import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { getJson, send, type TpmView } from '../api.ts'
import { fullTime } from '../format.ts'
import { events, me } from '../state.ts'
import { Ask, Field, mustType } from './dialog.tsx'

type Proof = NonNullable<TpmView['proof']>

const MODES: Readonly<Record<TpmView['mode'], string>> = {
  off: 'off: the agent is not asked',
  observe: 'observe: its boot is looked at, and nothing waits for it',
  require: 'require: nothing is deployed before its boot is proven',
}
const BY = { grub: 'the signed loaders measured', uki: 'the firmware measured the signed ramdisk, which is' }

function Verdict({ proof }: { readonly proof: Proof }) {
  if (proof.verdict === 'proved')
    return <b class="tone-good">● proved: {BY[proof.by ?? 'grub']} exactly what was served in this boot</b>
  if (proof.verdict === 'partial') return <b class="tone-warn">▲ partly proved: {proof.detail}</b>
  return <b class="tone-bad">✖ not proved: {proof.fault?.description ?? proof.detail}</b>
}

/** Undefined: there is no answer for this user. */
function useTpm(uuid: string, again: number): TpmView | undefined {
  const view = useSignal<TpmView | undefined>(undefined)
  const lastSeq = events.value.find(({ node_uuid }) => node_uuid === uuid)?.seq ?? 0
  useEffect(() => {
    let over = false
    getJson<TpmView>(`/rackward/v1/nodes/${encodeURIComponent(uuid)}/tpm`).then(
      (found) => {
        if (!over) view.value = found
      },
      () => undefined,
    )
    return () => void (over = true)
  }, [uuid, lastSeq, again])
  return view.value
}

export function Tpm({ uuid, name }: { readonly uuid: string; readonly name: string }) {
  const again = useSignal(0)
  /** The key that the question shows: the server may boot with another one before it is answered. */
  const asks = useSignal<string | null>(null)
  const view = useTpm(uuid, again.value)
  if (!view) return null
  const { mode, ek, ek_since: since, proof } = view
  const isOther = proof?.fault?.code === 'tpm.replaced' && proof.ek !== null
  const path = `/rackward/v1/nodes/${encodeURIComponent(uuid)}/tpm/accept`
  return (
    <section class="card" aria-label="TPM">
      <h2>TPM</h2>
      <p>{MODES[mode]}</p>
      {proof ? (
        <>
          <p>
            <Verdict proof={proof} />
          </p>
          {proof.fault && (
            <>
              <p class="muted">
                {proof.fault.code}
                {proof.detail !== null && `: ${proof.detail}`}
              </p>
              <p>→ {proof.fault.remedy}</p>
            </>
          )}
          <p class="muted">
            {fullTime(proof.at)}
            {proof.present ? '' : ', an earlier boot'}
            {proof.secure_boot !== null && `; Secure Boot ${proof.secure_boot ? 'on' : 'off'}`}
          </p>
          {proof.changed.length > 0 && (
            <p class="tone-warn">▲ Firmware changed since the boot before: PCR {proof.changed.join(', ')}</p>
          )}
        </>
      ) : (
        mode !== 'off' && <p class="muted">Nothing is proved: it has not booted the ramdisk since.</p>
      )}
      {ek !== null && (
        <p class="muted">
          Known by its key <code>{ek.slice(0, 16)}…</code>
          {since !== null && ` since ${fullTime(since)}`}
        </p>
      )}
      {isOther && me.value?.role === 'admin' && !me.value.read_only && (
        <div class="buttons">
          <button type="button" onClick={() => (asks.value = proof.ek)}>
            Accept the other TPM
          </button>
        </div>
      )}
      {asks.value !== null && (
        <Ask
          title={`Accept the other TPM of ${name}`}
          verb="Accept"
          danger
          act={async (data) => {
            mustType(data, name, 'from now on the other TPM speaks for it')
            await send({ method: 'POST', path, body: { ek: asks.value } }, me.value?.csrf ?? null)
          }}
          onClose={(done) => {
            asks.value = null
            if (done) again.value += 1
          }}
        >
          <p class="warning">
            ▲ Compare it first with the TPM that was built in: <code>{asks.value}</code>
          </p>
          <Field name="confirm" label="Name" hint={`Type ${name} to confirm.`} />
          <p class="muted cli">
            <code>
              rackward node tpm {name} --accept {asks.value}
            </code>
          </p>
        </Ask>
      )}
    </section>
  )
}
