/** mdadm as the ramdisk uses it: arrays are created, assembled by their UUIDs, looked at and stopped. There is no udev,
 *  so mdadm makes no links and waits for none. */
import { readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { Fault } from '../../../kit/fault.ts'
import type { Run } from '../../../kit/run.ts'
import { readText } from '../sysfs.ts'
import type { PlannedArray } from './plan.ts'

const TIMEOUT_MS = 60_000
const ENV = { MDADM_NO_UDEV: '1' }
const MODULES = ['md_mod', 'raid0', 'raid1', 'raid10', 'raid456']
const MAX_SAID = 500
const LEVEL_OF = { '0': '0', '1': '1', '5': '5', '6': '6', '1+0': '10' } as const

/** What `mdadm --detail --export` or `--examine --export` says. */
export interface ArrayFacts {
  readonly id: string
  /** Without the host that made it. */
  readonly name: string
  /** Linux's word: raid0, raid1, raid10, raid5, raid6. */
  readonly level: string
  readonly metadata: string
  readonly devices: number
  /** Members that are in place: device files, by their role. */
  readonly members: readonly string[]
}

/** Undefined for what describes no array. */
export function parseExport(text: string): ArrayFacts | undefined {
  const values = new Map(
    text.split('\n').flatMap((line): [string, string][] => {
      const at = line.indexOf('=')
      return at < 1 ? [] : [[line.slice(0, at).trim(), line.slice(at + 1).trim()]]
    }),
  )
  const id = values.get('MD_UUID')
  if (id === undefined || !/^[0-9a-f]{8}(:[0-9a-f]{8}){3}$/.test(id)) return undefined
  const members: [role: number, device: string][] = []
  for (const [key, role] of values) {
    const device = /^MD_DEVICE_(.+)_ROLE$/.exec(key)?.[1]
    if (device === undefined || !/^\d+$/.test(role)) continue
    const path = values.get(`MD_DEVICE_${device}_DEV`)
    if (path !== undefined) members.push([Number(role), path])
  }
  const name = values.get('MD_NAME') ?? ''
  return {
    id,
    name: name.slice(name.indexOf(':') + 1),
    level: values.get('MD_LEVEL') ?? '',
    metadata: values.get('MD_METADATA') ?? '',
    devices: Number(values.get('MD_DEVICES') ?? 0),
    members: members.sort((a, b) => a[0] - b[0]).map(([, path]) => path),
  }
}

export class Mdadm {
  private readonly run: Run
  private readonly sys: string

  constructor(run: Run, sys = '/sys') {
    this.run = run
    this.sys = sys
  }

  /** Device files of the arrays that are running or half assembled. */
  async devices(): Promise<string[]> {
    const names = await readdir(join(this.sys, 'block')).catch((): string[] => [])
    return names.filter((name) => /^md\d+$/.test(name)).map((name) => `/dev/${name}`)
  }

  /** Undefined for an array without members. */
  async detail(device: string): Promise<ArrayFacts | undefined> {
    return parseExport((await this.call(['--detail', '--export', device])).stdout)
  }

  /** What the superblock of a disk or partition says; undefined: it has none. */
  examine = async (device: string): Promise<ArrayFacts | undefined> =>
    parseExport((await this.call(['--examine', '--export', device])).stdout)

  /** Answers the device. Superblocks of before are overwritten. Throws `raid.failed`. */
  async create(array: PlannedArray, members: readonly string[]): Promise<string> {
    await this.load()
    const device = await this.free()
    await this.ok(`the volume ${array.name} could not be made`, [
      '--create',
      device,
      '--run',
      `--level=${LEVEL_OF[array.level]}`,
      `--metadata=${array.metadata}`,
      `--raid-devices=${members.length}`,
      `--uuid=${array.id}`,
      `--name=${array.name}`,
      // Every host takes an array of this home for its own, and uses its name.
      '--homehost=any',
      ...members,
    ])
    return device
  }

  /** Starts an array when it is whole, and answers its device. Throws `raid.failed` when members are missing. */
  async assemble(id: string, what: string): Promise<string> {
    await this.load()
    for (const device of await this.devices()) if ((await this.detail(device))?.id === id) return device
    const device = await this.free()
    const argv = ['--assemble', device, `--uuid=${id}`, '--config=partitions']
    await this.ok(`${what} cannot be started`, argv).catch(async (error: unknown) => {
      // What was found of it would stay claimed.
      await this.call(['--stop', device])
      throw error
    })
    const missing = Number((await readText(join(this.sys, 'block', basename(device), 'md/degraded'))) ?? 0)
    if (missing > 0)
      throw new Fault('raid.failed', `${what} lacks ${missing} of its ${(await this.detail(device))?.devices} disks`)
    return device
  }

  async stop(device: string): Promise<void> {
    await this.ok(`${device} could not be stopped`, ['--stop', device])
  }

  async stopAll(): Promise<void> {
    for (const device of await this.devices()) await this.stop(device)
  }

  /** Only servers with software RAID need them, so the ramdisk does not load them by itself. */
  private async load(): Promise<void> {
    await this.run(['modprobe', '-abq', ...MODULES], { timeoutMs: TIMEOUT_MS })
  }

  private async free(): Promise<string> {
    const used = new Set(await this.devices())
    for (let number = 0; ; number += 1) if (!used.has(`/dev/md${number}`)) return `/dev/md${number}`
  }

  private call = (args: readonly string[]) => this.run(['mdadm', ...args], { timeoutMs: TIMEOUT_MS, env: ENV })

  private async ok(what: string, args: readonly string[]): Promise<void> {
    const { code, stdout, stderr } = await this.call(args)
    if (code !== 0)
      throw new Fault(
        'raid.failed',
        `${what}: ${(stderr || stdout).trim().slice(-MAX_SAID) || `mdadm ended with ${code}`}`,
      )
  }
}
