/** `rackward node explain` and `rackward node watch`: what a node waits for, and what happens. */
import { spanText, usualText } from '../kit/text.ts'
import type { Account } from '../conductor/node/query/account.ts'
import type { Usual } from '../conductor/node/query/explain-usual.ts'
import { driftText } from '../conductor/node/policy/drift.ts'
import { connect, enc, type Common } from './nodes.ts'
import { formatOf, jsonText, print, said, show } from './show.ts'

export async function explain(ident: string, options: Common): Promise<void> {
  const account = (await (await connect(options)).ask('GET', `/rackward/v1/nodes/${enc(ident)}/explain`)) as Account
  await show(account, formatOf(options.output), () => accountText(account))
}

type Later = 'ports' | 'drift' | 'left_seconds'
type OldUsual = Omit<Usual, 'of' | 'p5_seconds'> & Partial<Pick<Usual, 'of' | 'p5_seconds'>>
/** What an older conductor does not say is left out. */
type Told = Omit<Account, 'node_uuid' | 'usual' | Later> &
  Partial<Pick<Account, Later>> & { readonly usual: OldUsual | null }

const OF = {
  image: 'with this model, firmware and image',
  firmware: 'with this model and firmware',
  model: 'on this model',
  state: 'on this model, whatever the state was for',
} as const

function usualLine(usual: OldUsual, elapsedSeconds: number): string {
  const { samples, of = 'model', p5_seconds: low, median_seconds: median, p95_seconds: high, unusual } = usual
  const times = `${samples} ${samples === 1 ? 'time' : 'times'} ${OF[of]}`
  const range = { lowSeconds: low ?? median ?? 0, highSeconds: high ?? 0 }
  const text = usualText(range, elapsedSeconds).replace(/^usually /, 'usually     ')
  return `${text} (${times})${unusual ? ': this is unusual' : ''}`
}

export function accountText(account: Told): string {
  const { usual, lock } = account
  const lines = [
    `${account.provision_state}: ${account.description}`,
    `waits for   ${account.waits_for}`,
    `since       ${account.since} (${account.elapsed_seconds} s)${account.deadline ? `, until ${account.deadline}` : ''}`,
  ]
  if (usual && usual.median_seconds !== null) lines.push(usualLine(usual, account.elapsed_seconds))
  if (typeof account.left_seconds === 'number') lines.push(`left        about ${spanText(account.left_seconds)}`)
  if (lock)
    lines.push(
      `locked      by ${lock.holder} since ${lock.since}; pending: ${lock.pending_effects.join(', ')}${lock.tries > 0 ? `, ${lock.tries} tries failed` : ''}`,
    )
  if (account.seen.length > 0)
    lines.push(
      'seen',
      ...account.seen.map(
        (one) => `  ${one.at}  ${one.category.padEnd(5)}  ${one.what}${one.detail ? ` (${one.detail})` : ''}`,
      ),
    )
  if (account.erased)
    lines.push(
      `erased      ${account.erased.at} by ${account.erased.step}`,
      ...account.erased.disks.map(({ disk, serial, description }) => `  ${disk} (${serial ?? '-'}): ${description}`),
    )
  lines.push(
    ...(account.ports ?? []).flatMap(portLines),
    ...(account.drift ?? []).map((one) => `drift       ${driftText(one)}${one.since ? ` (since ${one.since})` : ''}`),
  )
  let shown = ''
  for (const [i, cause] of account.causes.entries()) {
    if (i === 0) lines.push('likely causes if it stays in this state')
    const evidence = cause.evidence.filter(Boolean).map((text) => `     ${text}`)
    // Several causes of one silence have the same evidence.
    lines.push(`  ${i + 1}. ${cause.cause}`, ...(evidence.join() === shown ? [] : evidence), `     -> ${cause.remedy}`)
    shown = evidence.join()
  }
  return lines.map(said).join('\n')
}

function portLines({ address, switch_port: at, loader }: Account['ports'][number]): string[] {
  const lines = [`port        ${address}`]
  if (at) {
    const relay = at.relay ? `, through relay ${at.relay}` : ''
    lines.push(`  switch port ${at.circuit_id ?? '-'} of ${at.remote_id ?? '-'}${relay} (${at.seen_at})`)
  }
  if (loader) {
    const silent = loader.silent.length > 0 ? `, after ${loader.silent.join(', ')} fell silent` : ''
    lines.push(`  loader      ${loader.file}: ${loader.worked ? 'booted' : 'is tried'}${silent} (${loader.seen_at})`)
  }
  return lines
}

export async function watch(ident: string | undefined, options: Common): Promise<void> {
  const api = await connect(options)
  const abort = new AbortController()
  process.once('SIGINT', () => abort.abort())
  const query = new URLSearchParams(ident === undefined ? {} : { node: ident })
  const json = formatOf(options.output) === 'json'
  await api.lines(
    `/rackward/v1/events?${query.toString()}`,
    (line) => {
      if (!line.startsWith('data: ')) return
      const event = JSON.parse(line.slice('data: '.length)) as {
        at: string
        kind: string
        node_uuid: string | null
        detail: Record<string, unknown>
      }
      if (json) return print(jsonText(event))
      const text = `${event.at}  ${event.kind.padEnd(12)} ${event.node_uuid ?? '-'}  ${Object.entries(event.detail)
        .map(([key, value]) => `${key}=${typeof value === 'object' ? JSON.stringify(value) : String(value as string)}`)
        .join(' ')}`
      print(said(text))
    },
    abort.signal,
  )
}
