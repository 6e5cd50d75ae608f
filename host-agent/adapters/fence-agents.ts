/** Fencing by something else than the host's BMC: outlets of a PDU (L2), its access to the shared storage (L4), through
 *  the fence agents of ClusterLabs, which know dozens of such devices. Contract: FenceAgentAPI.md of ClusterLabs'
 *  fence-agents: options as `name=value` lines on standard input; `off` ends with 0 when it is done; `status` ends with
 *  0 for "on" and 2 for "off". Anything else is "nobody knows". */
import { parse } from 'yaml'
import * as z from 'zod'
import { Fault } from '../../kit/fault.ts'
import { readPrivateFile } from '../../kit/files.ts'
import type { Run } from '../../kit/run.ts'
import { HOST_NAME } from '../protocol/names.ts'
import { DEVICE_LEVELS, type DeviceLevel } from '../protocol/records.ts'

export type DeviceAction = 'off' | 'status'

/** A line break in a value would be another option. */
const Value = z.union([z.string().regex(/^[^\n\r\0]*$/, 'has a line break'), z.number(), z.boolean()])
const Device = z.strictObject({
  level: z.enum(DEVICE_LEVELS),
  /** Such as fence_apc_snmp; found in PATH. */
  agent: z.string().regex(/^(\/[\w./-]+|fence_[a-z0-9_]+)$/, 'is no fence agent (fence_..., or a path)'),
  options: z.record(z.string().regex(/^[a-z][a-z0-9_-]*$/), Value),
})
const Devices = z.record(z.string().regex(HOST_NAME), z.array(Device).min(1))
export type Device = z.infer<typeof Device>

const STATUS_OFF = 2
/** As for a command to a BMC: it may not outlive the lease of the leader that asked for it. */
const AGENT_TIMEOUT_MS = 4_500

export class FenceDevices {
  private readonly file: string | undefined
  private readonly run: Run
  private devices: Readonly<Record<string, readonly Device[]>> = {}

  constructor(file: string | undefined, run: Run) {
    this.file = file
    this.run = run
  }

  /** Reads the file anew. Throws `secret.key` when others may read it, `config.invalid` for what it cannot mean; what
   *  was known stays. */
  async load(): Promise<void> {
    if (this.file === undefined) return
    const result = Devices.safeParse(parse(await readPrivateFile(this.file)) ?? {})
    if (!result.success) {
      const issue = result.error.issues[0]
      throw new Fault('config.invalid', `${this.file}: ${issue?.path.join('.')}: ${issue?.message}`)
    }
    this.devices = result.data
  }

  levels(host: string): DeviceLevel[] {
    const own = this.of(host)
    return DEVICE_LEVELS.filter((level) => own.some((device) => device.level === level))
  }

  /** All devices of the level at once. "off" only when every one of them says so: a host with two power supplies runs
   *  on one. */
  async ask(
    host: string,
    about: { level: DeviceLevel; action: DeviceAction },
    signal: AbortSignal,
  ): Promise<'on' | 'off' | undefined> {
    const devices = this.of(host).filter(({ level }) => level === about.level)
    if (devices.length === 0)
      throw new Fault('config.invalid', `${this.file} names nothing of ${about.level} for ${host}`)
    const codes = await Promise.all(devices.map((device) => this.once(device, about.action, signal)))
    if (about.action === 'off') return undefined
    return codes.every((code) => code === STATUS_OFF) ? 'off' : 'on'
  }

  private of = (host: string): readonly Device[] =>
    Object.hasOwn(this.devices, host) ? (this.devices[host] as readonly Device[]) : []

  private async once(device: Device, action: DeviceAction, signal: AbortSignal): Promise<number> {
    const input = `${Object.entries({ ...device.options, action: action })
      .map(([name, value]) => `${name}=${value}`)
      .join('\n')}\n`
    const { code, stderr } = await this.run([device.agent], { timeoutMs: AGENT_TIMEOUT_MS, input, signal })
    const good = code === 0 || (action === 'status' && code === STATUS_OFF)
    // Its words may repeat the options, passwords among them.
    if (!good)
      throw new Fault(
        'bmc.refused',
        `${device.agent} (${action}) ended with ${code}: ${withoutSecrets(stderr, device).slice(0, 200)}`,
      )
    return code ?? 1
  }
}

function withoutSecrets(text: string, { options }: Device): string {
  let out = text.trim().split('\n').at(-1) ?? ''
  for (const [name, value] of Object.entries(options))
    if (/pass|community|key|secret/.test(name) && String(value) !== '') out = out.replaceAll(String(value), '******')
  return out
}
