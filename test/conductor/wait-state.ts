/** Waits until a node rests in one of the states, and answers it. */
import { until } from '../../kit/clock.ts'
import type { ApiClient } from '../lab/client.ts'

export const waitForState = (api: ApiClient, uuid: string, states: readonly string[]) =>
  until(
    async () => {
      const node = await api.ok('GET', `/v1/nodes/${uuid}`)
      return states.includes(String(node.provision_state)) && node.reservation === null ? node : undefined
    },
    { what: states.join(' or '), timeoutMs: 30_000, everyMs: 20 },
  )
