/** /v1/nodes/{id}/bios: BIOS settings as they were read last, with the fields of their registry. Never reads the
 *  BMC. */
import { Fault } from '../../../kit/fault.ts'
import { BIOS_REGISTRY } from '../../fake/bios.ts'
import type { NodeRecord } from '../../node/record.ts'
import { biosDocument, type KeptSetting } from '../../node/hardware-documents.ts'
import { standing } from '../access.ts'
import type { ApiRequest, Route, RouteParts } from '../route.ts'
import { parseFields, type Gates } from '../versions.ts'
import { veilTexts } from '../veil.ts'
import { links, time } from '../views.ts'
import { nodeOf } from './routes.ts'

const FIELDS_SINCE_74 = [
  'attribute_type',
  'allowable_values',
  'lower_bound',
  'upper_bound',
  'min_length',
  'max_length',
  'read_only',
  'reset_required',
  'unique',
] as const
const FIELDS: Gates = Object.fromEntries(
  ['name', 'value', 'created_at', 'updated_at', 'links']
    .map((name): [string, number] => [name, 40])
    .concat(FIELDS_SINCE_74.map((name) => [name, 74])),
) as Gates
const SHORT = ['name', 'value']
const ALL = [...SHORT, ...FIELDS_SINCE_74]

/** A setting in Ironic's words. */
interface Setting extends Record<string, unknown> {
  readonly name: string
  readonly createdAtMs: number | null
  readonly updatedAtMs: number | null
}

export function biosRoutes(parts: RouteParts): Route[] {
  const settingsOf = async (node: NodeRecord, { actor }: ApiRequest): Promise<readonly Setting[]> => {
    if (node.fake) return ofFake(node.fake)
    const settings = (await biosDocument(parts.store, node.uuid))?.settings.map(ofServer) ?? []
    // They may name the BMC and its users.
    return standing(actor, node) === 'lessee' ? settings.map((one) => veilSetting(one, node)) : settings
  }
  return [
    {
      method: 'get',
      path: '/v1/nodes/:ident/bios',
      role: 'reader',
      since: 40,
      query: { detail: 74, fields: 74 },
      summary: 'lists BIOS settings as they were read last; none where the interface has none',
      async handle(request) {
        const node = await nodeOf(parts, request)
        const fields = parseFields(request.query.text('fields'), FIELDS, request.minor)
        const detail = request.query.flag('detail') ?? false
        if (fields && detail) throw new Fault('input.invalid', 'fields and detail exclude each other')
        const names = detail ? ALL : (fields ?? SHORT)
        const settings = await settingsOf(node, request)
        return { body: { bios: settings.map((one) => view(one, { node, request }, names)) } }
      },
    },
    {
      method: 'get',
      path: '/v1/nodes/:ident/bios/:setting',
      role: 'reader',
      since: 40,
      summary: 'shows a BIOS setting',
      async handle(request) {
        const node = await nodeOf(parts, request)
        const one = (await settingsOf(node, request)).find(({ name }) => name === request.params.setting)
        if (!one)
          throw new Fault(
            'object.missing',
            `node ${node.uuid} has no BIOS setting ${JSON.stringify(request.params.setting?.slice(0, 64))}`,
          )
        return { body: { [one.name]: view(one, { node, request }, request.minor >= 74 ? ALL : SHORT) } }
      },
    },
  ]
}

const veilSetting = (one: Setting, node: NodeRecord): Setting => ({
  ...one,
  ...(veilTexts({ value: one.value, allowable_values: one.allowable_values }, node) as object),
})

const view = (one: Setting, of: { node: NodeRecord; request: ApiRequest }, names: readonly string[]) => ({
  ...Object.fromEntries(names.map((name) => [name, one[name] ?? null])),
  created_at: time(one.createdAtMs),
  updated_at: time(one.updatedAtMs),
  links: links(of.request.view, `nodes/${of.node.uuid}/bios/${encodeURIComponent(one.name)}`),
})

const ofFake = (fake: NonNullable<NodeRecord['fake']>): readonly Setting[] =>
  fake.bios.map(({ name, value, updatedAtMs }) => ({
    name,
    value,
    read_only: false,
    reset_required: false,
    unique: false,
    ...BIOS_REGISTRY[name],
    createdAtMs: fake.createdAtMs,
    updatedAtMs,
  }))

const ofServer = (kept: KeptSetting): Setting => ({
  name: kept.name,
  value: kept.value,
  attribute_type: kept.type,
  allowable_values: kept.values,
  lower_bound: kept.lowerBound,
  upper_bound: kept.upperBound,
  min_length: kept.minLength,
  max_length: kept.maxLength,
  read_only: kept.type === null ? null : kept.readOnly,
  reset_required: kept.resetRequired,
  unique: kept.unique,
  createdAtMs: kept.createdAtMs,
  updatedAtMs: kept.updatedAtMs,
})
