/** `rackward node secure-boot`: shows Secure Boot of a server, switches it, or gives it the keys of the
 *  manufacturer. */
import { systemClock } from '../kit/clock.ts'
import { CliError } from './error.ts'
import { secureText } from './health.ts'
import { connect, enc, verb, waitMsOf, type Common } from './nodes.ts'
import type { Api } from './server.ts'
import { formatOf, print, said, show } from './show.ts'

interface Options extends Common {
  readonly wait?: boolean | string
}

interface OrderedNode {
  readonly reservation: string | null
  readonly last_error: string | null
  readonly driver_internal_info: { readonly rackward?: { readonly bmc_task?: unknown } }
}
type Health = { readonly secure_boot: Parameters<typeof secureText>[0] | null }

const POLL_MS = 1_000
const RESET = JSON.stringify([{ interface: 'management', step: 'reset_secure_boot_keys_to_default' }])

export async function secureBoot(ident: string, wish: string | undefined, options: Options): Promise<void> {
  if (wish === 'reset') return verb('clean', [ident], { ...options, steps: RESET })
  const api = await connect(options)
  if (wish === undefined) {
    const { secure_boot: seen } = (await api.ask('GET', `/rackward/v1/nodes/${enc(ident)}/health`)) as Health
    return show(seen, formatOf(options.output), () => (seen ? secureText(seen) : 'its BMC shows no Secure Boot'))
  }
  if (wish !== 'on' && wish !== 'off') throw new CliError('usage', `secure-boot is on, off or reset, not ${wish}`)
  await api.ask('PUT', `/v1/nodes/${enc(ident)}/states/secure_boot`, { target: wish === 'on' })
  const waitMs = waitMsOf(options.wait)
  if (waitMs === undefined) return print(`${ident}: Secure Boot ${wish} was ordered`)
  await proven(api, { ident, on: wish === 'on', waitMs })
  print(`${ident}: Secure Boot is ${wish}`)
}

/** As its BMC says now: the record of a server in use follows later. */
async function isActive(api: Api, ident: string): Promise<boolean | undefined> {
  const { secure_boot: seen } = (await api.ask('GET', `/rackward/v1/nodes/${enc(ident)}/health`)) as Health
  return seen?.active
}

/** A server in use keeps running: it ends when somebody restarts it. */
async function proven(api: Api, { ident, on, waitMs }: { ident: string; on: boolean; waitMs: number }): Promise<void> {
  const endMs = systemClock.now() + waitMs
  for (;;) {
    const now = (await api.ask('GET', `/v1/nodes/${enc(ident)}`)) as OrderedNode
    // The conductor waits for the proof without a lock, and may switch the server off again after it.
    const isOver = now.reservation === null && !now.driver_internal_info.rackward?.bmc_task
    if (isOver && (await isActive(api, ident)) === on) return
    if (isOver && now.last_error !== null) throw new CliError('failed', said(now.last_error))
    if (systemClock.now() >= endMs)
      throw new CliError(
        'late',
        `Secure Boot of ${ident} is not ${on ? 'on' : 'off'} yet; restart the server if it is in use`,
      )
    await systemClock.sleep(POLL_MS)
  }
}
