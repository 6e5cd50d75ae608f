/** ComputerSystem 1.20: identity, power, and the boot override, which the next start consumes. */
import { SimulatedMachine, type PowerState } from '../machine.ts'
import { CHASSIS, collection, isDict, link, MANAGER, resource, ROOT, SYSTEM } from '../tree.ts'
import type { Answer, Ask, Dict, Refusal, Writer } from '../tree.ts'
import type { VirtualBmc } from '../virtual-bmc.ts'

export const RESET = `${SYSTEM}/Actions/ComputerSystem.Reset`
export const RESET_TYPES = ['On', 'ForceOff', 'GracefulShutdown', 'ForceRestart', 'PushPowerButton', 'Nmi']
export const [TARGET, ENABLED, MODE] = [
  'BootSourceOverrideTarget',
  'BootSourceOverrideEnabled',
  'BootSourceOverrideMode',
] as const

const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  [TARGET]: ['None', 'Pxe', 'Cd', 'Hdd', 'BiosSetup', 'UefiHttp'],
  [ENABLED]: ['Disabled', 'Once', 'Continuous'],
  [MODE]: ['UEFI', 'Legacy'],
}

export class Systems {
  boot: Record<string, string> = { [TARGET]: 'None', [ENABLED]: 'Disabled', [MODE]: 'UEFI' }
  /** What was written into the settings resource, and holds from the next start on. */
  pending: Record<string, string> = {}
  /** Every reset type that was taken, in order. */
  readonly resets: string[] = []
  private readonly bmc: VirtualBmc

  constructor(bmc: VirtualBmc) {
    this.bmc = bmc
    const { tree } = bmc
    tree.extend(ROOT, () => ({ Systems: link(`${ROOT}/Systems`) }))
    tree.add(`${ROOT}/Systems`, {
      get: () => collection(`${ROOT}/Systems`, '#ComputerSystemCollection.ComputerSystemCollection', [SYSTEM]),
    })
    tree.add(SYSTEM, { get: () => this.system() })
    tree.writable(SYSTEM, 'Boot', this.writeBoot)
    tree.add(`${SYSTEM}/Settings`, { get: () => (this.inSettings ? this.settings() : undefined) })
    tree.writable(`${SYSTEM}/Settings`, 'Boot', this.writeBoot)
    tree.add(`${SYSTEM}/ResetActionInfo`, { get: () => RESET_INFO })
    tree.add(RESET, { post: (ask) => this.reset(ask) })
    bmc.on('started', () => this.consume())
  }

  get uuid(): string {
    return this.bmc.machine.identity.uuid
  }

  get power(): PowerState {
    return this.bmc.machine.power
  }

  /** Behind the BMC's back, where the machine is simulated. */
  set power(power: PowerState) {
    if (this.bmc.machine instanceof SimulatedMachine) this.bmc.machine.power = power
  }

  get nmis(): number {
    return this.bmc.machine instanceof SimulatedMachine ? this.bmc.machine.nmis : 0
  }

  private get inSettings(): boolean {
    return this.bmc.profile.bootIn === 'settings'
  }

  private system(): Dict {
    const { identity, power, inPost } = this.bmc.machine
    return resource(SYSTEM, '#ComputerSystem.v1_20_0.ComputerSystem', {
      Id: this.bmc.systemId,
      SystemType: 'Physical',
      Manufacturer: identity.manufacturer,
      Model: identity.model,
      SerialNumber: identity.serialNumber,
      UUID: identity.uuid,
      Status: { State: 'Enabled', Health: 'OK' },
      PowerState: power,
      BootProgress: {
        LastState: power === 'Off' ? 'None' : inPost ? 'SystemHardwareInitializationComplete' : 'OSRunning',
      },
      Boot: {
        ...this.boot,
        ...Object.fromEntries(
          Object.entries(ALLOWED).map(([key, values]) => [`${key}@Redfish.AllowableValues`, values]),
        ),
      },
      Links: { ManagedBy: [link(MANAGER)], Chassis: [link(CHASSIS)] },
      Actions: { '#ComputerSystem.Reset': { target: RESET, 'ResetType@Redfish.AllowableValues': RESET_TYPES } },
      ...(this.inSettings ? { '@Redfish.Settings': { SettingsObject: link(`${SYSTEM}/Settings`) } } : {}),
    })
  }

  private settings = (): Dict =>
    resource(`${SYSTEM}/Settings`, '#ComputerSystem.v1_20_0.ComputerSystem', {
      Boot: { ...this.boot, ...this.pending },
    })

  /** May be undone by a rule, so that it is one call. */
  setBoot(boot: Record<string, string>): void {
    this.boot = boot
    const ignored = boot[ENABLED] === 'Once' && this.bmc.profile.once === 'ignored'
    const active = boot[ENABLED] !== 'Disabled' && boot[TARGET] !== 'None' && !ignored
    void this.bmc.machine.setNextBoot({
      target: active ? (boot[TARGET] ?? null) : null,
      mode: boot[MODE] === 'Legacy' ? 'Legacy' : 'UEFI',
      ...(boot.HttpBootUri ? { httpUri: boot.HttpBootUri } : {}),
    })
  }

  private readonly writeBoot: Writer = (value, ask) => {
    if (!isDict(value)) return { status: 400, id: 'PropertyValueTypeError', args: [JSON.stringify(value), 'Boot'] }
    if (this.inSettings && !ask.path.endsWith('/Settings'))
      return { status: 405, id: 'PropertyNotWritable', args: ['Boot'] }
    for (const [key, wanted] of Object.entries(value)) {
      if (key !== 'HttpBootUri' && !ALLOWED[key]) return { status: 400, id: 'PropertyUnknown', args: [key] }
      if (typeof wanted !== 'string' || ALLOWED[key]?.includes(wanted) === false)
        return { status: 400, id: 'PropertyValueNotInList', args: [String(wanted), key], related: [`#/Boot/${key}`] }
    }
    const boot = value as Record<string, string>
    if (this.inSettings) this.pending = { ...this.pending, ...boot }
    else this.setBoot({ ...this.boot, ...boot })
  }

  private async reset({ body }: Ask): Promise<Answer | Refusal> {
    const type = String(body.ResetType)
    const { machine } = this.bmc
    if (body.ResetType === undefined) return { status: 400, id: 'ActionParameterMissing', args: [RESET, 'ResetType'] }
    if (!RESET_TYPES.includes(type))
      return { status: 400, id: 'ActionParameterValueNotInList', args: [type, 'ResetType', RESET] }
    const off = machine.power === 'Off'
    if ((type === 'On' && machine.power === 'On') || (off && ['ForceOff', 'GracefulShutdown', 'Nmi'].includes(type)))
      return { status: 409, id: 'InvalidOperationForSystemState', args: [type] }
    this.resets.push(type)
    // What waits in the settings resource holds for the start that follows.
    const starts = type === 'On' || type === 'ForceRestart' || (type === 'PushPowerButton' && off)
    if (starts && Object.keys(this.pending).length > 0) this.setBoot({ ...this.boot, ...this.pending })
    if (starts) this.pending = {}
    await (off && starts ? machine.start() : this.act(type))
    return { status: 204 }
  }

  private act(type: string): Promise<void> {
    const { machine } = this.bmc
    switch (type) {
      case 'ForceOff':
        return machine.stop()
      case 'ForceRestart':
        return machine.reset()
      case 'Nmi':
        return machine.nmi()
      case 'On':
        return machine.start()
      default:
        return machine.pressButton()
    }
  }

  private consume(): void {
    if (this.boot[ENABLED] === 'Once' && this.bmc.profile.once !== 'kept')
      this.setBoot({ ...this.boot, [TARGET]: 'None', [ENABLED]: 'Disabled' })
  }
}

const RESET_INFO = resource(`${SYSTEM}/ResetActionInfo`, '#ActionInfo.v1_4_0.ActionInfo', {
  Parameters: [
    { Name: 'ResetType', Required: true, DataType: 'String', AllowableValues: ['On', 'ForceOff', 'PushPowerButton'] },
  ],
})
