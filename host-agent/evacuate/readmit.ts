/** A fenced host is taken back: leftovers first, then its gate, then its place (the order that Nova needs: its records
 *  of evacuations end when nova-compute starts, and until then it refuses to lift "forced down"). Pure. */
import { alertOf, type Decision } from '../cluster/decision.ts'
import type { Incident, Intent } from '../protocol/records.ts'
import type { SelfReport } from '../protocol/heartbeat.ts'
import type { Verdict } from '../verdict/assess.ts'
import type { EvacuationEffect } from './effects.ts'
import type { EvacuationKnowledge } from './knowledge.ts'

const TRY_EVERY_MS = 1_000

export function readmit(
  { host }: Incident,
  known: EvacuationKnowledge,
  about: {
    nowMs: number
    verdict: Verdict | undefined
    intents: readonly Intent[]
    gate: SelfReport['gate'] | undefined
  },
): Decision<EvacuationEffect>[] {
  if (known.busy || known.enabled || about.nowMs - known.triedMs < TRY_EVERY_MS) return []
  // The gate is opened with the reply to its heartbeat once `cleaned` is known (arbiter/heartbeat-reply.ts).
  if (known.cleaned) return about.gate === 'open' ? [{ effects: [{ do: 'readmit', host, step: 'enable' }] }] : []

  // What it lost when it was fenced, it may still lack: it would be fenced again.
  const { verdict } = about
  if (verdict && verdict.action !== 'none' && verdict.action !== 'alert')
    return [{ alerts: [alertOf(host, 'readmit planes', `${host} is back and stays outside: ${verdict.says}`)] }]

  // Its own start of such an instance could be the second.
  const lost = about.intents.find(({ state }) => state === 'UNKNOWN')
  if (lost)
    return [
      {
        alerts: [
          alertOf(
            host,
            'readmit unknown',
            `${host} is back and stays outside: nobody can say whether ${lost.name} runs elsewhere`,
          ),
        ],
      },
    ]
  return [{ effects: [{ do: 'readmit', host, step: 'clean' }] }]
}
