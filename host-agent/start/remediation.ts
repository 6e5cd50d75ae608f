/** Requests to remedy nodes of Kubernetes, where the configuration wants them answered. */
import { http } from '../../kit/http.ts'
import { systemClock } from '../../kit/clock.ts'
import { KubernetesApi } from '../adapters/instances/kubernetes-api.ts'
import { answerRequests } from './remediation-requests.ts'
import type { Arbiter } from '../arbiter/loop.ts'
import { kubernetesAccess } from './adapters.ts'
import { every, type Context } from './context.ts'

const EVERY_MS = 5_000
const ROUND_MS = 30_000

export async function startRemediation(context: Context, core: Arbiter): Promise<void> {
  const { config, clock, log } = context
  const { driver } = config
  if (driver.kind !== 'kubernetes' || !driver.remediation) return
  const api = new KubernetesApi(await kubernetesAccess(driver), http)
  const parts = { api, core, log, nowMs: () => clock.now(), wallMs: () => systemClock.now() }
  await every(context, { name: 'requests to remedy nodes', everyMs: EVERY_MS }, (signal) =>
    answerRequests(parts, AbortSignal.any([signal, AbortSignal.timeout(ROUND_MS)])),
  )
}
