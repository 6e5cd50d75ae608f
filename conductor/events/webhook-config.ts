/** Webhooks of the configuration, with their secrets. */
import { defined } from '../../kit/defined.ts'
import { Fault } from '../../kit/fault.ts'
import { readHookSecret } from '../../kit/webhook.ts'
import type { Config } from '../config.ts'
import { flawOf } from './formats.ts'
import type { Webhook } from './webhooks.ts'
import { EVENT_KINDS } from './wire.ts'

/** Reads each webhook's secret. Throws `config.invalid`. */
export function readWebhooks(config: Config): Promise<Webhook[]> {
  return Promise.all(
    config.webhooks.map(async ({ secretFile, kinds, ...hook }, i) => {
      const unknown = kinds?.find((kind) => !Object.hasOwn(EVENT_KINDS, kind))
      if (unknown !== undefined)
        throw new Fault(
          'config.invalid',
          `webhooks.${i}.kinds: there is no kind ${unknown}; there are ${Object.keys(EVENT_KINDS).join(', ')}`,
        )
      const secret = await readHookSecret(secretFile, `webhooks.${i}.secretFile`)
      const flaw = flawOf({ ...hook, secret })
      if (flaw !== undefined) throw new Fault('config.invalid', `webhooks.${i}.secretFile: ${flaw}`)
      return { ...hook, secret, ...defined({ kinds }) }
    }),
  )
}
