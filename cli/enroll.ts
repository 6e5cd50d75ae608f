/** `rackward node enroll`: one node from arguments, or many from a file. A file is what there shall be: run again, only
 *  differences are applied. */
import { isDeepStrictEqual } from 'node:util'
import { Dict, Mac, NodeCreate, ObjectName, z } from '../conductor/api/node-input.ts'
import { MASK } from '../conductor/api/views.ts'
import { isSecretKey } from '../conductor/store/secrets.ts'
import { readPrivateFile } from '../kit/files.ts'
import { connect, type Common } from './nodes.ts'
import type { Api } from './server.ts'
import { print, said } from './show.ts'
import { CliError } from './error.ts'

/** What POST /v1/nodes takes, with the traits and ports of the node. */
const WantedNode = NodeCreate.extend({
  name: ObjectName,
  driver: z.string().min(1).max(255).default('ipmi'),
  traits: z.array(z.string()).optional(),
  ports: z
    .array(
      z.union([Mac, z.strictObject({ address: Mac, pxe_enabled: z.boolean().optional(), extra: Dict.optional() })]),
    )
    .default([]),
})
export type WantedNode = z.infer<typeof WantedNode>
const File = z.strictObject({ nodes: z.array(WantedNode).min(1) })

export interface EnrollOptions extends Common {
  readonly file?: string
  readonly diff?: boolean
  readonly secrets?: boolean
  readonly driver?: string
  readonly bmc?: string
  readonly user?: string
  readonly passwordFile?: string
  readonly mac?: string[]
}

export async function enroll(name: string | undefined, options: EnrollOptions): Promise<void> {
  const api = await connect(options)
  const wanted = options.file === undefined ? [await oneNode(name, options)] : await readFileOf(options.file)
  const plan: { node: WantedNode; changes: Change[] }[] = []
  for (const node of wanted) plan.push({ node, changes: await changesFor(api, node, options.secrets ?? false) })
  for (const { node, changes } of plan) {
    if (changes.length === 0) print(`${node.name}: as it should be`)
    for (const change of changes) print(said(`${node.name}: ${change.says}`))
  }
  if (options.diff) return
  for (const { node, changes } of plan) {
    // In one request: all of them or none, and a driver together with its interfaces.
    const patch = changes.flatMap((change) => ('patch' in change ? [change.patch] : []))
    const isOtherDriver = patch.some(({ path }) => path === '/driver')
    if (patch.length > 0)
      await api.ask('PATCH', `${pathOf(node)}${isOtherDriver ? '?reset_interfaces=true' : ''}`, patch)
    for (const change of changes) if ('make' in change) await change.make()
  }
}

/** The password of the BMC comes from a file or the environment. */
async function oneNode(name: string | undefined, options: EnrollOptions): Promise<WantedNode> {
  if (name === undefined) throw new CliError('usage', 'name the node, or give a file with -f')
  const password =
    options.passwordFile === undefined
      ? process.env.RACKWARD_BMC_PASSWORD
      : (
          await readPrivateFile(options.passwordFile).catch((error: Error) =>
            Promise.reject(new CliError('usage', `--password-file: ${error.message}`)),
          )
        ).trim()
  const driver = options.driver ?? 'ipmi'
  const keys = keysOf(driver)
  if (keys && (options.bmc === undefined || password === undefined))
    throw new CliError(
      'usage',
      `a node of the driver ${driver} needs --bmc ADDRESS, --user NAME, and its password in --password-file FILE or RACKWARD_BMC_PASSWORD`,
    )
  const info = keys?.({ bmc: options.bmc, user: options.user ?? 'admin', password })
  return check(WantedNode, { name, driver, ...(info ? { driver_info: info } : {}), ports: options.mac ?? [] }, name)
}

type Login = Readonly<Record<'bmc' | 'user' | 'password', string | undefined>>

/** The keys of driver_info that a driver takes for a BMC; undefined: it has no BMC, or one that is described
 *  otherwise. */
const keysOf = (driver: string): ((login: Login) => Record<string, string | undefined>) | undefined => {
  switch (driver) {
    case 'ipmi':
      return ({ bmc, user, password }) => ({ ipmi_address: bmc, ipmi_username: user, ipmi_password: password })
    case 'redfish':
    case 'idrac':
      return ({ bmc, user, password }) => ({ redfish_address: bmc, redfish_username: user, redfish_password: password })
    default:
      return undefined
  }
}

/** YAML (or JSON, which is YAML); `name.csv`: columns name, bmc, user, password, mac, resource_class, driver (ipmi,
 *  redfish, idrac). */
async function readFileOf(path: string): Promise<WantedNode[]> {
  const { readFile } = await import('node:fs/promises')
  const text = await readFile(path, 'utf8').catch((error: Error) =>
    Promise.reject(new CliError('usage', `cannot read ${path}: ${error.message}`)),
  )
  if (path.endsWith('.csv')) return readCsv(text, path)
  const { parse } = await import('./yaml.ts')
  let value: unknown
  try {
    value = parse(text)
  } catch (error) {
    throw new CliError('usage', `${path}: ${(error as Error).message}`)
  }
  return check(File, value, path).nodes
}

function check<T extends z.ZodType>(schema: T, value: unknown, from: string): z.infer<T> {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const issue = result.error.issues[0]
  const where = `${from}: ${issue?.path.join('/') || 'the whole'}`
  if (issue?.code === 'unrecognized_keys') throw new CliError('usage', `${where}: ${unknownFields(issue)}`)
  throw new CliError('usage', `${where}: ${issue?.message}`)
}

function unknownFields({
  keys,
  path,
}: {
  readonly keys: readonly string[]
  readonly path: readonly unknown[]
}): string {
  const isOfNode = typeof path.at(-1) === 'number' && path.at(-2) === 'nodes'
  const known = isOfNode ? `; a node has ${Object.keys(WantedNode.shape).join(', ')}` : ''
  return `there is no field ${keys.map((key) => JSON.stringify(key)).join(', ')}${known}`
}

const COLUMNS = ['name', 'bmc', 'user', 'password', 'mac', 'resource_class', 'driver'] as const

/** Plain commas: none of these values holds one. */
export function readCsv(text: string, from: string): WantedNode[] {
  const [head = '', ...lines] = text.split(/\r?\n/).filter((line) => line.trim() !== '' && !line.startsWith('#'))
  const columns = head.split(',').map((column) => column.trim())
  const unknown = columns.find((column) => !(COLUMNS as readonly string[]).includes(column))
  if (unknown !== undefined)
    throw new CliError('usage', `${from}: unknown column ${JSON.stringify(unknown)}; there are ${COLUMNS.join(', ')}`)
  return lines.map((line, i) => {
    if (line.includes('"'))
      throw new CliError('usage', `${from}: line ${i + 2}: quotes are not understood; use YAML for such values`)
    const values = line.split(',')
    if (values.length !== columns.length)
      throw new CliError(
        'usage',
        `${from}: line ${i + 2} has ${values.length} values for ${columns.length} columns; use YAML for values that hold a comma`,
      )
    const row = Object.fromEntries(columns.map((column, at) => [column, (values[at] ?? '').trim()]))
    const { name, bmc, user, password, mac, resource_class, driver = '' } = row
    const keys = keysOf(driver === '' ? 'ipmi' : driver)
    if (!keys)
      throw new CliError(
        'usage',
        `${from}: line ${i + 2}: the driver is none of ipmi, redfish, idrac; use YAML for nodes of another one`,
      )
    return check(
      WantedNode,
      {
        name,
        ...(driver === '' ? {} : { driver }),
        driver_info: keys({ bmc, user, password }),
        ports: mac ? mac.split(' ') : [],
        ...(resource_class ? { resource_class } : {}),
      },
      `${from}: line ${i + 2}`,
    )
  })
}

interface PatchOp {
  readonly op: 'add'
  readonly path: string
  readonly value: unknown
}

/** Of fields of a node that is there, or of what has requests of its own. */
type Change = { readonly says: string } & ({ readonly patch: PatchOp } | { make(): Promise<unknown> })

const pathOf = ({ name }: Pick<WantedNode, 'name'>): string => `/v1/nodes/${encodeURIComponent(name)}`

/** What is compared with a node that is there. */
const FIELDS = (Object.keys(NodeCreate.shape) as (keyof typeof NodeCreate.shape)[]).filter(
  (field) => field !== 'uuid' && field !== 'name',
)

async function changesFor(api: Api, wanted: WantedNode, secrets: boolean): Promise<Change[]> {
  const path = pathOf(wanted)
  const now = (await api.ask('GET', path).catch((error: unknown) => {
    if (error instanceof CliError && error.kind === 'missing') return undefined
    throw error
  })) as Record<string, unknown> | undefined
  const { ports, traits, ...fields } = wanted
  const addPort = (port: WantedNode['ports'][number], node: string) => {
    const body = typeof port === 'string' ? { address: port } : port
    return api.ask('POST', '/v1/ports', { ...body, node_ident: node })
  }
  if (!now) {
    const make = async () => {
      const { uuid } = (await api.ask('POST', '/v1/nodes', fields)) as { uuid: string }
      if (traits) await api.ask('PUT', `/v1/nodes/${uuid}/traits`, { traits })
      for (const port of ports) await addPort(port, uuid)
    }
    return [{ says: `is enrolled with ${ports.length} port${ports.length === 1 ? '' : 's'}`, make }]
  }
  if (fields.uuid !== undefined && fields.uuid !== now.uuid)
    throw new CliError('usage', `${wanted.name}: uuid: it has ${String(now.uuid)}, which cannot be changed`)
  const changes: Change[] = []
  const isOtherDriver = fields.driver !== now.driver
  for (const field of FIELDS) {
    const value = fields[field]
    // Null stands for what the server chooses, as for a new node.
    if (value === undefined || value === null) continue
    // Keys that are not named stay: inspection adds properties of its own.
    const parts: [path: string, key: string, before: unknown, after: unknown][] =
      typeof value !== 'object'
        ? [[`/${field}`, field, now[field], value]]
        : Object.entries(value).map(([key, one]) => [
            `/${field}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`,
            `${field}/${key}`,
            (now[field] as Record<string, unknown>)[key],
            one,
          ])
    for (const [at, says, before, after] of parts) {
      // A secret of the server cannot be compared: it is left as it is unless it is asked for. Ours is never printed.
      const hidden = before === MASK
      const isSame = isDeepStrictEqual(before, after)
      // A new driver chooses every interface that is not named anew.
      const isNamedAgain = isSame && isOtherDriver && field.endsWith('_interface')
      if (hidden ? !secrets : isSame && !isNamedAgain) continue
      const text = hidden
        ? 'is set again'
        : isSecretKey(at)
          ? 'is set'
          : isNamedAgain
            ? `${JSON.stringify(after)}, as before`
            : `${JSON.stringify(before ?? null)} -> ${JSON.stringify(after)}`
      changes.push({ says: `${says}: ${text}`, patch: { op: 'add', path: at, value: after } })
    }
  }
  if (traits && !isDeepStrictEqual([...(now.traits as string[])].sort(), [...traits].sort()))
    changes.push({
      says: `traits: ${(now.traits as string[]).join(', ') || 'none'} -> ${traits.join(', ')}`,
      make: () => api.ask('PUT', `${path}/traits`, { traits }),
    })
  const there = ((await api.ask('GET', `${path}/ports?fields=address`)) as { ports: { address: string }[] }).ports.map(
    (port) => port.address,
  )
  for (const port of ports) {
    const address = typeof port === 'string' ? port : port.address
    if (!there.includes(address))
      changes.push({ says: `port ${address} is added`, make: () => addPort(port, String(now.uuid)) })
  }
  return changes
}
