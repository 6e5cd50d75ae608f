/** Bios 1.2 with its settings resource and attribute registry: what is ordered waits until POST has passed. */
import { collection, isDict, link, resource, ROOT, SYSTEM } from '../tree.ts'
import type { Ask, Dict, Outcome, Refusal } from '../tree.ts'
import type { VirtualBmc } from '../virtual-bmc.ts'
import type { Job, Task } from './tasks.ts'

export const BIOS = `${SYSTEM}/Bios`
export const BIOS_SETTINGS = `${BIOS}/Settings`
const RESET_BIOS = `${BIOS}/Actions/Bios.ResetBios`
const REGISTRIES = `${ROOT}/Registries`
const REGISTRY = 'BiosAttributeRegistry.v1_0_3'
const REGISTRY_FILE = `${REGISTRIES}/${REGISTRY}`
const REGISTRY_BODY = `${ROOT}/RegistryStore/${REGISTRY}.json`

type Value = string | number | boolean

const ATTRIBUTES: readonly (Dict & { readonly AttributeName: string; readonly DefaultValue: Value })[] = [
  { ...enumeration('BootMode', ['Uefi', 'Bios']), ResetRequired: true },
  { ...enumeration('LogicalProc', ['Enabled', 'Disabled']), ResetRequired: true },
  { ...enumeration('WorkloadProfile', ['Balanced', 'LowLatency']), ResetRequired: true },
  { AttributeName: 'ProcCores', Type: 'Integer', ReadOnly: false, LowerBound: 0, UpperBound: 64, DefaultValue: 0 },
  { AttributeName: 'QuietBoot', Type: 'Boolean', ReadOnly: false, DefaultValue: true },
  { AttributeName: 'AssetTag', Type: 'String', ReadOnly: false, MinLength: 0, MaxLength: 63, DefaultValue: '' },
  { AttributeName: 'SystemBiosVersion', Type: 'String', ReadOnly: true, DefaultValue: '2.1.0' },
]

function enumeration(name: string, values: readonly string[]) {
  return {
    AttributeName: name,
    Type: 'Enumeration',
    ReadOnly: false,
    Value: values.map((ValueName) => ({ ValueName })),
    DefaultValue: values[0] as string,
  }
}

export class Bios {
  current: Record<string, Value> = Object.fromEntries(
    ATTRIBUTES.map(({ AttributeName, DefaultValue }) => [AttributeName, DefaultValue]),
  )
  pending: Record<string, Value> = {}
  /** Orders that were taken, in order. */
  readonly orders: Readonly<Record<string, Value>>[] = []
  private task: Task | undefined
  private job: Job | undefined
  private readonly bmc: VirtualBmc

  constructor(bmc: VirtualBmc) {
    this.bmc = bmc
    const { tree } = bmc
    tree.extend(SYSTEM, () => (bmc.profile.bios === 'none' ? {} : { Bios: link(BIOS) }))
    tree.extend(ROOT, () => ({ Registries: link(REGISTRIES) }))
    tree.add(BIOS, { get: () => this.view() })
    tree.add(BIOS_SETTINGS, { get: () => this.settings(), patch: (ask) => this.order(ask) })
    tree.add(RESET_BIOS, { post: () => this.factoryReset() })
    tree.add(REGISTRIES, {
      get: () =>
        collection(REGISTRIES, '#MessageRegistryFileCollection.MessageRegistryFileCollection', [
          `${REGISTRIES}/Base.1.18.1`,
          REGISTRY_FILE,
        ]),
    })
    tree.add(`${REGISTRIES}/Base.1.18.1`, { get: () => registryFile('Base.1.18.1', `${ROOT}/RegistryStore/Base.json`) })
    tree.add(REGISTRY_FILE, { get: () => registryFile(REGISTRY, REGISTRY_BODY) })
    tree.add(REGISTRY_BODY, {
      get: () =>
        resource(REGISTRY_BODY, '#AttributeRegistry.v1_3_9.AttributeRegistry', {
          Id: REGISTRY,
          Language: 'en',
          RegistryVersion: '1.0.3',
          RegistryEntries: { Attributes: ATTRIBUTES },
        }),
    })
    bmc.on('posted', () => this.apply())
  }

  private view(): Dict {
    const early = this.bmc.profile.bios === 'shows orders early' ? this.pending : {}
    return resource(BIOS, '#Bios.v1_2_3.Bios', {
      AttributeRegistry: REGISTRY,
      Attributes: { ...this.current, ...early },
      Actions: { '#Bios.ResetBios': { target: RESET_BIOS } },
      '@Redfish.Settings': {
        '@odata.type': '#Settings.v1_4_0.Settings',
        SettingsObject: link(BIOS_SETTINGS),
        SupportedApplyTimes: ['OnReset'],
      },
    })
  }

  private settings(): Dict {
    // Dell shows what was changed alone, the others all attributes.
    const all = this.bmc.profile.bios === 'sealed job' ? {} : this.current
    return resource(BIOS_SETTINGS, '#Bios.v1_2_3.Bios', {
      AttributeRegistry: REGISTRY,
      Attributes: { ...all, ...this.pending },
    })
  }

  private order({ body }: Ask): Outcome {
    const { Attributes: wanted } = body
    if (!isDict(wanted) || Object.keys(wanted).length === 0)
      return { status: 400, id: 'PropertyMissing', args: ['Attributes'] }
    for (const [name, value] of Object.entries(wanted)) {
      const refusal = this.refusalOf(name, value)
      if (refusal) return refusal
    }
    if (this.bmc.profile.bios === 'sealed job' && this.job && this.job.state !== 'Completed')
      return { status: 400, id: 'IDRAC.2.14.SYS011', text: 'Pending configuration values are already committed.' }
    const { tasks } = this.bmc.families
    this.orders.push(wanted as Record<string, Value>)
    this.pending = { ...this.pending, ...(wanted as Record<string, Value>) }
    if (this.bmc.profile.bios === 'sealed job') {
      this.job = tasks.schedule('ConfigBIOS:BIOS.Setup.1-1', () => {
        this.pending = {}
        this.job = undefined
      })
      return { status: 202, headers: { location: `${ROOT}/JobService/Jobs/${this.job.id}` } }
    }
    const { task, accepted } = tasks.begin('BIOS settings', { state: 'Pending', payload: body })
    this.task = task
    return accepted
  }

  private refusalOf(name: string, value: unknown): Refusal | undefined {
    const entry = ATTRIBUTES.find(({ AttributeName }) => AttributeName === name)
    if (!entry) return { status: 400, id: 'PropertyUnknown', args: [name] }
    if (entry.ReadOnly) return { status: 400, id: 'PropertyNotWritable', args: [name] }
    const types = { Integer: 'number', Boolean: 'boolean', Enumeration: 'string', String: 'string' }
    if (typeof value !== types[entry.Type as keyof typeof types])
      return { status: 400, id: 'PropertyValueTypeError', args: [String(value), name] }
    return undefined
  }

  private factoryReset(): Outcome {
    for (const { AttributeName, DefaultValue, ReadOnly } of ATTRIBUTES)
      if (!ReadOnly && this.current[AttributeName] !== DefaultValue) this.pending[AttributeName] = DefaultValue
    return { status: 200, body: {} }
  }

  private apply(): void {
    const skipped = this.bmc.profile.neverApplied ?? []
    for (const [name, value] of Object.entries(this.pending)) if (!skipped.includes(name)) this.current[name] = value
    this.pending = {}
    if (this.job) this.job.state = 'Completed'
    if (!this.task) return
    this.task.state = 'Completed'
    this.task.percent = 100
    this.task = undefined
  }
}

const registryFile = (registry: string, uri: string): Dict =>
  resource(`${REGISTRIES}/${registry}`, '#MessageRegistryFile.v1_1_4.MessageRegistryFile', {
    Registry: registry,
    Languages: ['en'],
    Location: [{ Language: 'en', Uri: uri }],
  })
