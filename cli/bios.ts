/** `rackward node bios`: shows BIOS settings as they were read last, orders others, or gives them their defaults. */
import type { Account } from '../conductor/node/query/account.ts'
import { driftText } from '../conductor/node/policy/drift.ts'
import { CliError } from './error.ts'
import { connect, enc, verb, type Common } from './nodes.ts'
import type { Api } from './server.ts'
import { formatOf, said, show, tableOf } from './show.ts'

export interface StepOptions extends Common {
  readonly wait?: boolean | string
}

interface Setting {
  readonly name: string
  readonly value: string | null
  readonly attribute_type: string | null
  readonly allowable_values: readonly string[] | null
  readonly lower_bound: number | null
  readonly upper_bound: number | null
  readonly read_only: boolean | null
}

export async function bios(
  ident: string,
  { action, settings }: { readonly action: string | undefined; readonly settings: readonly string[] },
  options: StepOptions,
): Promise<void> {
  const api = await connect(options)
  switch (action) {
    case undefined:
      return list(api, ident, options)
    case 'reset':
      return order(api, { ident, step: { interface: 'bios', step: 'factory_reset' } }, options)
    case 'set': {
      const args = { settings: settings.map(settingOf) }
      if (args.settings.length === 0) throw new CliError('usage', 'bios set takes NAME=VALUE, once or more often')
      return order(api, { ident, step: { interface: 'bios', step: 'apply_configuration', args } }, options)
    }
    default:
      throw new CliError('usage', `bios takes set or reset, not ${action}`)
  }
}

async function list(api: Api, ident: string, options: StepOptions): Promise<void> {
  const { bios: settings } = (await api.ask('GET', `/v1/nodes/${enc(ident)}/bios?detail=true`)) as { bios: Setting[] }
  const drift = await driftLines(api, ident, 'bios')
  await show(settings, formatOf(options.output), () =>
    settings.length === 0
      ? 'no BIOS settings were read of this node; the verb manage reads them'
      : [
          tableOf(
            ['name', 'value', 'allowed'],
            settings.map((one) => [one.name, one.value ?? '', allowedText(one)]),
          ),
          ...drift,
        ].join('\n'),
  )
}

/** What is not as the last step left it. */
export async function driftLines(api: Api, ident: string, of: 'bios' | 'firmware'): Promise<readonly string[]> {
  const path = `/rackward/v1/nodes/${enc(ident)}/explain`
  const { drift = [] } = (await api.ask('GET', path)) as Partial<Pick<Account, 'drift'>>
  return drift.filter(({ what }) => what === of).map((one) => said(`drift: ${driftText(one)}`))
}

export function allowedText({ attribute_type: type, allowable_values: values, ...one }: Setting): string {
  if (one.read_only) return 'read only'
  if (values) return values.join(', ')
  return type === 'Integer' ? `${one.lower_bound ?? ''} to ${one.upper_bound ?? ''}` : (type ?? '').toLowerCase()
}

/** NAME=VALUE; the value may hold more of them. */
export function settingOf(text: string): { readonly name: string; readonly value: string } {
  const at = text.indexOf('=')
  if (at < 1) throw new CliError('usage', `${JSON.stringify(text)} is not NAME=VALUE`)
  return { name: text.slice(0, at), value: text.slice(at + 1) }
}

/** A step of the BMC: in a service on a server in use, else in a clean. */
export async function order(
  api: Api,
  { ident, step }: { readonly ident: string; readonly step: Readonly<Record<string, unknown>> },
  options: StepOptions,
): Promise<void> {
  const { provision_state: state } = (await api.ask('GET', `/v1/nodes/${enc(ident)}`)) as { provision_state: string }
  const target = state === 'active' || state === 'service failed' ? 'service' : 'clean'
  return verb(target, [ident], { ...options, steps: JSON.stringify([step]) })
}
