/** A fenced host is taken back: leftovers first, then its gate, then its place (the order that Nova needs: its records of evacuations end when nova-compute
 *  starts, and until then it refuses to lift "forced down"). */
import type { ArbiterState } from '../arbiter/state.ts'
import { ACT_MS } from '../protocol/timing.ts'
import type { Incident } from '../protocol/records.ts'

const TRY_MS = 1_000

export function readmit(core: ArbiterState, incident: Incident, nowMs: number): void {
  const post = core.post(incident.host)
  if (post.driverBusy || nowMs - post.triedAtMs < TRY_MS || post.enabled) return
  // What it lost when it was fenced, it may still lack: it would be fenced again.
  const verdict = core.verdicts.get(incident.host)
  if (!post.cleaned && verdict && verdict.action !== 'none' && verdict.action !== 'alert')
    return core.page(incident.host, 'readmit planes', `${incident.host} is back and stays outside: ${verdict.says}`)
  // Its own start of such an instance could be the second.
  const lost = core.cluster.intentsOf(incident.id).find(({ value }) => value.state === 'UNKNOWN')
  if (!post.cleaned && lost)
    return core.page(
      incident.host,
      'readmit unknown',
      `${incident.host} is back and stays outside: nobody can say whether ${lost.value.name} runs elsewhere`,
    )
  // The gate is opened with the answer to its heartbeat once `cleaned` is set (arbiter/heartbeat-reply.ts).
  if (post.cleaned && core.evidence.selfOf(incident.host)?.gate !== 'open') return
  const step = post.cleaned ? 'enable' : 'clean'
  post.driverBusy = true
  post.triedAtMs = nowMs
  core.world.driver({ call: 'readmit', host: incident.host, step }, nowMs + ACT_MS, (answer) => {
    if (core.memories.get(incident.host) !== post) return
    post.driverBusy = false
    if (!answer.ok)
      return core.page(incident.host, `readmit ${step}`, `${incident.host} cannot be taken back yet: ${answer.fault}`)
    if (answer.done !== true) return
    if (step === 'clean') post.cleaned = true
    else post.enabled = true
  })
}
