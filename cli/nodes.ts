/** `rackward node ...`: lists nodes, and sends requests for them. */
import { until, systemClock } from '../kit/clock.ts'
import { findPlace, openApi, type Api, type ServerOptions } from './server.ts'
import { formatOf, pairs, print, said, show } from './show.ts'
import { CliError } from './error.ts'
import { imageLine } from './image-line.ts'

export interface Common extends ServerOptions {
  readonly output?: string
}

export interface NodeView {
  readonly uuid: string
  readonly name: string | null
  readonly provision_state: string
  readonly power_state: string | null
  readonly maintenance: boolean
  readonly reservation: string | null
  readonly last_error: string | null
  readonly [field: string]: unknown
}

export const enc = encodeURIComponent
export const connect = async (options: ServerOptions): Promise<Api> => openApi(await findPlace(options, process.env))

/** Follows `next` to the end. */
export async function listNodes(api: Api, query: string): Promise<NodeView[]> {
  const nodes: NodeView[] = []
  for (let path: string | undefined = `/v1/nodes?${query}`; path !== undefined;) {
    const page = (await api.ask('GET', path)) as { nodes: NodeView[]; next?: string }
    nodes.push(...page.nodes)
    path = page.next && page.nodes.length > 0 ? page.next.replace(/^https?:\/\/[^/]+.*?(?=\/v1\/)/, '') : undefined
  }
  return nodes
}

const SHOWN = [
  'name',
  'uuid',
  'driver',
  'provision_state',
  'target_provision_state',
  'power_state',
  'maintenance',
  'maintenance_reason',
  'fault',
  'last_error',
  'resource_class',
  'traits',
  'owner',
  'lessee',
  'instance_uuid',
  'properties',
  'driver_info',
  'instance_info',
  'extra',
  'created_at',
  'updated_at',
]

export async function showNode(ident: string, options: Common): Promise<void> {
  const api = await connect(options)
  const node = (await api.ask('GET', `/v1/nodes/${enc(ident)}`)) as NodeView
  const image = await imageLine(api, node.uuid)
  await show(node, formatOf(options.output), () =>
    pairs([
      ...SHOWN.map((name) => [name, node[name]] as const),
      ...(image === undefined ? [] : [['image', image] as const]),
    ]),
  )
}

export interface VerbOptions extends Common {
  readonly wait?: boolean | string
  readonly image?: string
  readonly checksum?: string
  readonly configdrive?: string
  readonly runbook?: string
  readonly steps?: string
  readonly password?: string
}

/** Where each verb leads, for --wait. */
const ENDS: Readonly<Record<string, readonly string[]>> = {
  manage: ['manageable'],
  inspect: ['manageable'],
  provide: ['available', 'manageable'],
  active: ['active'],
  rebuild: ['active'],
  deleted: ['available', 'manageable'],
  clean: ['manageable'],
  adopt: ['active'],
  rescue: ['rescue'],
  unrescue: ['active'],
  service: ['active'],
  abort: ['inspect failed', 'clean failed', 'deploy failed', 'rescue failed', 'service failed', 'active'],
  unhold: ['manageable', 'active', 'available'],
}
const FAILED = /failed$|^error$|^enroll$/
const DEFAULT_WAIT_SECONDS = 3600

/** Sends a verb to each node; with --wait, all are waited for together. */
export async function verb(target: string, idents: readonly string[], options: VerbOptions): Promise<void> {
  if (idents.length === 0) throw new CliError('usage', 'name a node, or give --all')
  const api = await connect(options)
  const waitMs = waitMsOf(options.wait)
  const body = await bodyOf(target, options)
  const sent: string[] = []
  const failures: string[] = []
  for (const ident of idents) {
    try {
      const patch = await patchOf(api, ident, options)
      if (patch.length > 0) await api.ask('PATCH', `/v1/nodes/${enc(ident)}`, patch)
      await api.ask('PUT', `/v1/nodes/${enc(ident)}/states/provision`, body)
      sent.push(ident)
    } catch (error) {
      if (idents.length === 1 || !(error instanceof CliError)) throw error
      failures.push(`${ident}: ${error.message}`)
    }
  }
  if (waitMs === undefined)
    for (const ident of sent)
      print(`${ident}: ${target} was accepted; see how it goes with: rackward node explain ${ident}`)
  else {
    const { waitAll } = await import('./wait.ts')
    failures.push(...(await waitAll(api, sent, { ends: ENDS[target] ?? [], failed: FAILED, timeoutMs: waitMs })))
  }
  if (failures.length > 0) throw new CliError('failed', failures.join('\n'))
}

export function waitMsOf(wait: boolean | string | undefined): number | undefined {
  if (wait === undefined || wait === false) return undefined
  const seconds = wait === true ? DEFAULT_WAIT_SECONDS : Number(wait)
  if (!Number.isFinite(seconds) || seconds <= 0)
    throw new CliError('usage', `--wait ${String(wait)}: give a number of seconds`)
  return seconds * 1000
}

const CHECKSUM_FIELDS = ['image_checksum', 'image_os_hash_value', 'image_os_hash_algo']

/** The checksum of the image before would stand against another image, or win over the one that is given. */
export function imagePatch(
  now: Readonly<Record<string, unknown>>,
  { image, checksum }: Pick<VerbOptions, 'image' | 'checksum'>,
) {
  if (image === undefined && checksum === undefined) return []
  const isSame = checksum === undefined && image === now.image_source
  const old = CHECKSUM_FIELDS.filter((name) => !isSame && now[name] !== undefined)
  return [
    ...old.map((name) => ({ op: 'remove' as const, path: `/instance_info/${name}` })),
    ...(image === undefined ? [] : [{ op: 'add' as const, path: '/instance_info/image_source', value: image }]),
    ...(checksum === undefined ? [] : [{ op: 'add' as const, path: '/instance_info/image_checksum', value: checksum }]),
  ]
}

async function patchOf(api: Api, ident: string, options: VerbOptions) {
  if (options.image === undefined && options.checksum === undefined) return []
  const { instance_info: now } = (await api.ask('GET', `/v1/nodes/${enc(ident)}?fields=instance_info`)) as {
    instance_info?: Readonly<Record<string, unknown>>
  }
  return imagePatch(now ?? {}, options)
}

export async function bodyOf(target: string, options: VerbOptions): Promise<Record<string, unknown>> {
  const kind = target === 'service' ? 'service_steps' : 'clean_steps'
  return {
    target,
    ...(options.configdrive === undefined
      ? {}
      : { configdrive: await readValue(options.configdrive, '--configdrive') }),
    ...(options.steps === undefined ? {} : { [kind]: await readValue(options.steps, '--steps') }),
    ...(options.runbook === undefined ? {} : { runbook: options.runbook }),
    ...(target === 'rescue' ? { rescue_password: process.env.RACKWARD_RESCUE_PASSWORD ?? missingPassword() } : {}),
  }
}

/** JSON or YAML, given as it is or as `@FILE`. */
export async function readValue(text: string, option: string): Promise<unknown> {
  const [{ parse }, { readFile }] = await Promise.all([import('./yaml.ts'), import('node:fs/promises')])
  const content = text.startsWith('@')
    ? await readFile(text.slice(1), 'utf8').catch((error: Error) =>
        Promise.reject(new CliError('usage', `${option}: cannot read ${text.slice(1)}: ${error.message}`)),
      )
    : text
  try {
    return parse(content) as unknown
  } catch (error) {
    throw new CliError('usage', `${option}: neither JSON nor YAML: ${(error as Error).message}`)
  }
}

function missingPassword(): never {
  throw new CliError(
    'usage',
    'the password of the rescue login comes from the environment: set RACKWARD_RESCUE_PASSWORD',
  )
}

/** For completion: names alone. */
export async function nodeNames(): Promise<string[]> {
  const names = (await listNodes(await connect({}), 'fields=name,uuid')).map(({ name, uuid }) => name ?? uuid)
  // A shell expands what it is given to complete: only what a name of a node can be is passed on.
  return names.filter((name) => /^[\w.~-]+$/.test(name))
}

export async function waitFor(
  state: string,
  idents: readonly string[],
  options: Common & { for: string },
): Promise<void> {
  const api = await connect(options)
  const { waitAll } = await import('./wait.ts')
  const failures = await waitAll(api, idents, {
    ends: [state],
    failed: /failed$|^error$/,
    timeoutMs: waitMsOf(options.for) ?? 0,
  })
  if (failures.length > 0) throw new CliError('failed', failures.join('\n'))
}

const POWER: Readonly<Record<string, string>> = {
  on: 'power on',
  off: 'power off',
  reboot: 'rebooting',
  'soft-off': 'soft power off',
  'soft-reboot': 'soft rebooting',
}

export async function power(
  action: string,
  idents: readonly string[],
  options: Common & { wait?: boolean | string },
): Promise<void> {
  const target = Object.hasOwn(POWER, action) ? POWER[action] : undefined
  if (!target) throw new CliError('usage', `${action}: use one of ${Object.keys(POWER).join(', ')}`)
  const api = await connect(options)
  const waitMs = waitMsOf(options.wait)
  for (const ident of idents) await api.ask('PUT', `/v1/nodes/${enc(ident)}/states/power`, { target })
  if (waitMs === undefined) return
  for (const ident of idents) {
    const node = await until(
      async () =>
        ((now) => now.reservation === null && now)((await api.ask('GET', `/v1/nodes/${enc(ident)}`)) as NodeView),
      {
        what: ident,
        timeoutMs: waitMs,
        everyMs: 200,
        clock: systemClock,
      },
    ).catch(() => {
      throw new CliError('late', `${ident} is not done after ${waitMs / 1000} s; see: rackward node explain ${ident}`)
    })
    if (node.last_error) throw new CliError('failed', `${ident}: ${said(node.last_error)}`)
    print(`${ident}: ${node.power_state}`)
  }
}

export async function maintenance(state: string, ident: string, options: Common & { reason?: string }): Promise<void> {
  if (state !== 'on' && state !== 'off') throw new CliError('usage', `${state}: use on or off`)
  const path = `/v1/nodes/${enc(ident)}/maintenance`
  const api = await connect(options)
  await (state === 'on'
    ? api.ask('PUT', path, options.reason === undefined ? {} : { reason: options.reason })
    : api.ask('DELETE', path))
}

export async function remove(idents: readonly string[], options: Common): Promise<void> {
  const api = await connect(options)
  for (const ident of idents) await api.ask('DELETE', `/v1/nodes/${enc(ident)}`)
}
