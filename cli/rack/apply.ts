/** `rackward rack apply|rollouts|status|pause|resume|cancel`: hands a plan to the conductor, and watches it. */
import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline/promises'
import { systemClock } from '../../kit/clock.ts'
import type { RolloutView } from '../../conductor/api/rollout-schemas.ts'
import { Plan, unagreed, END_KINDS, END_TEXTS, type Agreed, type EndKind } from '../../conductor/rollouts/plan.ts'
import { CliError } from '../error.ts'
import { connect, waitMsOf, type Common } from '../nodes.ts'
import type { Api } from '../server.ts'
import { formatOf, print, said, show, tableOf } from '../show.ts'
import { makePlan, readRack } from './command.ts'
import { expandRange, foldNames } from './ranges.ts'
import { readSecrets } from './secrets.ts'
import { mustHoldPolicy } from './observe.ts'
import { hasWork, planText } from './text.ts'
import { shellWord } from '../shell-word.ts'

export interface ApplyOptions extends Common {
  readonly file: string
  readonly allow?: string[]
  readonly wait?: boolean | string
}

const POLL_MS = 500
const PATH = '/rackward/v1/rollouts'

export async function apply(planFile: string | undefined, options: ApplyOptions): Promise<void> {
  const api = await connect(options)
  const allowed = agreedOf(options.allow ?? [])
  const { plan, rack, directory } =
    planFile === undefined ? await makePlan(api, options.file) : await readPlan(planFile, options.file)
  if (planFile === undefined) print(planText(plan))
  await mustHoldPolicy(api, plan)
  if (!hasWork(plan)) {
    if (plan.refused.length > 0)
      throw new CliError('refused', plan.refused.map(({ node, why }) => `${node}: ${why}`).join('\n'))
    return print('nothing is to be done')
  }
  const agreed = await agree(plan, allowed)
  const secrets = await readSecrets(rack, plan.secrets, { directory, env: process.env })
  await begin(api, plan, { agreed, secrets, ...(options.wait === undefined ? {} : { wait: options.wait }) })
}

/** Asks for what is not agreed to, hands the plan over, and watches it where that is wanted. */
export async function begin(
  api: Api,
  plan: Plan,
  given: {
    readonly agreed: Agreed
    readonly secrets: Readonly<Record<string, string>>
    readonly wait?: boolean | string
  },
): Promise<void> {
  const { secrets, wait } = given
  const agreed = await agree(plan, given.agreed)
  const rollout = (await api.ask('POST', PATH, { plan, agreed, secrets })) as RolloutView
  print(
    `roll-out ${rollout.id}: ${plan.items.length} nodes; the conductor carries it on by itself; see: rackward rack status ${rollout.id}`,
  )
  if (wait !== undefined) await watch(api, rollout.id, waitMsOf(wait) ?? 0)
}

async function readPlan(path: string, file: string) {
  const text = await readFile(path, 'utf8').catch((error: Error) =>
    Promise.reject(new CliError('usage', `cannot read ${path}: ${error.message}`)),
  )
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new CliError('usage', `${path} is no plan: it is not JSON; make one with: rackward rack plan --out ${path}`)
  }
  const result = Plan.safeParse(value)
  if (!result.success) {
    const [issue] = result.error.issues
    throw new CliError(
      'usage',
      `${path} is no plan: ${issue?.path.join('/')}: ${issue?.message}; make one with: rackward rack plan --out ${path}`,
    )
  }
  // The file says where secrets are; a plan holds their names alone.
  if (result.data.secrets.length === 0) return { plan: result.data, rack: NO_SECRETS, directory: '.' }
  const read = await readRack(file)
  if (read.rack.site !== result.data.site)
    throw new CliError(
      'usage',
      `${file} is of the site ${read.rack.site}, and ${path} of ${said(result.data.site)}: its secrets are others; name its file with -f`,
    )
  return { plan: result.data, ...read }
}

const NO_SECRETS = {
  file: {},
  root: { kind: 'map', at: { file: '', line: 1, column: 1 }, entries: new Map() },
} as never

/** `erase=r1-u[01-03],r1-u07`; several kinds before one `=`, separated by commas. */
export function agreedOf(texts: readonly string[]): Agreed {
  const agreed: Partial<Record<EndKind, string[]>> = {}
  for (const text of texts) {
    const [kinds = '', names] = text.split('=', 2)
    const nodes = names?.split(',').flatMap((name) => expandRange(name)?.map(({ unit }) => unit) ?? [])
    if (!nodes || nodes.length === 0)
      throw new CliError('usage', `--allow ${text}: write KIND=NODES, such as erase=r1-u[01-04]`)
    for (const kind of kinds.split(',')) {
      if (!END_KINDS.includes(kind as EndKind))
        throw new CliError('usage', `--allow ${text}: ${kind} is no kind; there are ${END_KINDS.join(', ')}`)
      ;(agreed[kind as EndKind] ??= []).push(...nodes)
    }
  }
  return agreed
}

/** What is not agreed to yet is asked for: the number of nodes, typed at a terminal. */
async function agree(plan: Plan, allowed: Agreed): Promise<Agreed> {
  const open = Object.entries(unagreed(plan, allowed)) as [EndKind, string[]][]
  if (open.length === 0) return allowed
  const lines = open.map(([kind, nodes]) => `${foldNames(nodes).join(' ')}: each ${END_TEXTS[kind]}`)
  const count = new Set(open.flatMap(([, nodes]) => nodes)).size
  if (!process.stdin.isTTY || !process.stderr.isTTY)
    throw new CliError(
      'refused',
      `this is not agreed to:\n${lines.join('\n')}\nagree with: ${open.map(([kind, nodes]) => `--allow ${shellWord(`${kind}=${foldNames(nodes).join(',')}`)}`).join(' ')}`,
    )
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  const answer = await terminal.question(`${lines.join('\n')}\nType ${count} (the number of nodes) to agree: `)
  terminal.close()
  if (answer.trim() !== String(count)) throw new CliError('refused', 'not agreed to; nothing was changed')
  const agreed: Record<string, readonly string[]> = { ...allowed }
  for (const [kind, nodes] of open) agreed[kind] = [...(allowed[kind] ?? []), ...nodes]
  return agreed
}

async function watch(api: Api, id: string, timeoutMs: number): Promise<void> {
  const endMs = systemClock.now() + timeoutMs
  const told = new Map<string, string>()
  for (;;) {
    const rollout = (await api.ask('GET', `${PATH}/${id}`)) as RolloutView
    for (const { node, state, doing, why } of rollout.nodes ?? []) {
      const text = `${state}${doing === null ? '' : `, ${doing}`}${why === null ? '' : `: ${why}`}`
      if (told.get(node) !== text && state !== 'waiting') process.stderr.write(`${said(`${node}: ${text}`)}\n`)
      told.set(node, text)
    }
    if (rollout.state === 'done') return endOf(rollout)
    if (rollout.state !== 'running')
      throw new CliError(
        'failed',
        `the roll-out is ${said(rollout.state)}: ${said(rollout.why)}; see: rackward rack status ${id}`,
      )
    if (systemClock.now() > endMs)
      throw new CliError(
        'late',
        `the roll-out is not done after ${timeoutMs / 1000} s, and goes on; see: rackward rack status ${id}`,
      )
    await systemClock.sleep(POLL_MS)
  }
}

function endOf(rollout: RolloutView): void {
  const failed = rollout.counts.failed ?? 0
  if (failed > 0) throw new CliError('failed', `${failed} nodes failed; see: rackward rack status ${rollout.id}`)
  print(`the roll-out is done: ${rollout.counts.done ?? 0} nodes`)
}

export async function rollouts(options: Common): Promise<void> {
  const { rollouts: all } = (await (await connect(options)).ask('GET', PATH)) as { rollouts: RolloutView[] }
  const counts = (one: RolloutView) =>
    Object.entries(one.counts)
      .map(([state, count]) => `${count} ${state}`)
      .join(', ')
  await show(all, formatOf(options.output), () =>
    all.length === 0
      ? 'there are no roll-outs; begin one with: rackward rack apply'
      : tableOf(
          ['id', 'site', 'state', 'nodes', 'begun', 'why'],
          all.map((one) => [one.id, one.site, one.state, counts(one), one.created_at, one.why ?? '']),
        ),
  )
}

export async function status(id: string, options: Common): Promise<void> {
  const rollout = (await (await connect(options)).ask('GET', `${PATH}/${encodeURIComponent(id)}`)) as RolloutView
  const rows = (rollout.nodes ?? []).map(({ node, state, stage, stages, doing, why }) => [
    node,
    state,
    `${stage} of ${stages}`,
    doing ?? '',
    why ?? '',
  ])
  await show(rollout, formatOf(options.output), () =>
    [
      said(`${rollout.state}${rollout.why === null ? '' : `: ${rollout.why}`}`),
      tableOf(['node', 'state', 'stages', 'doing', 'why'], rows),
    ].join('\n'),
  )
}

export async function change(id: string, event: 'pause' | 'resume' | 'cancel', options: Common): Promise<void> {
  const rollout = (await (
    await connect(options)
  ).ask('PATCH', `${PATH}/${encodeURIComponent(id)}`, { event })) as RolloutView
  print(`the roll-out is ${said(rollout.state)}`)
}
