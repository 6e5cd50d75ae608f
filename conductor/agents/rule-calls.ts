/** Makes the calls that inspection rules want (Ironic's api-call): GETs to allowed URLs, with retries, within a time
 *  for all of them. */
import type { Clock } from '../../kit/clock.ts'
import { Fault, isFault } from '../../kit/fault.ts'
import type { AllowList } from '../outbound/allow-list.ts'
import { getAllowed, type GetAnswer } from '../outbound/get.ts'
import type { RuleCall } from './rule-actions.ts'

export interface RuleCallParts {
  readonly list: AllowList
  readonly clock: Clock
  readonly limits: { readonly calls: number; readonly callSeconds: number }
}

/** Answers that are worth another try (Ironic's). */
const AGAIN: ReadonlySet<number> = new Set([429, 500, 502, 503, 504])

/** Throws `inspect.rule` when one fails: the inspection fails then, as in Ironic. What was called before stays
 *  called. */
export async function makeCalls(calls: readonly RuleCall[], parts: RuleCallParts): Promise<void> {
  const { calls: most, callSeconds } = parts.limits
  if (calls.length > most)
    throw new Fault('inspect.rule', `the rules want ${calls.length} calls, limits.inspection.calls is ${most}`)
  const abort = new AbortController()
  const late = new Fault('url.fetch', `the calls took longer than ${callSeconds} s (limits.inspection.callSeconds)`)
  const cancel = parts.clock.after(callSeconds * 1000, () => abort.abort(late))
  try {
    for (const call of calls) await makeCall(call, parts, abort.signal)
  } catch (error) {
    if (!isFault(error)) throw error
    throw new Fault('inspect.rule', `api-call: ${error.detail}`, { cause: error })
  } finally {
    cancel()
  }
}

async function makeCall(call: RuleCall, parts: RuleCallParts, signal: AbortSignal): Promise<void> {
  for (let retry = 0; ; retry += 1) {
    // urllib3 makes the first retry at once.
    if (retry > 1) await parts.clock.sleep(call.backoffMs * 2 ** (retry - 1), signal)
    try {
      const { url, status } = await once(call, parts, signal)
      if (status < 400) return
      if (!AGAIN.has(status) || retry === call.retries)
        throw new Fault('input.invalid', `${url.origin}${url.pathname} answered ${status}`)
    } catch (error) {
      if (!isFault(error, 'url.fetch') || retry === call.retries || signal.aborted) throw error
    }
  }
}

/** One try. The body of the answer is not read: nothing is made of it. */
async function once(call: RuleCall, { list, clock }: RuleCallParts, signal: AbortSignal): Promise<GetAnswer> {
  const abort = new AbortController()
  const late = new Fault('url.fetch', `no answer came within ${call.timeoutMs / 1000} s`)
  const cancel = clock.after(call.timeoutMs, () => abort.abort(late))
  const both = AbortSignal.any([signal, abort.signal])
  try {
    return await getAllowed(call.url, { list, signal: both, maxBytes: undefined, headers: call.headers })
  } finally {
    cancel()
  }
}
