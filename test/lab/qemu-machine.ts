/** A QEMU guest as the machine of a virtual Redfish BMC: started by the script that ipmi_sim calls as well, switched,
 *  reset and given media over QMP. */
import { existsSync, readFileSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { until } from '../../kit/clock.ts'
import { runOk } from '../../kit/run.ts'
import type { Identity, Machine, MachineEvent, NextBoot, PowerState, SecureBootNext } from '../redfish/machine.ts'
import { withHttpBoot } from './efi-variables.ts'
import { Qmp } from './qmp.ts'
import { systemUuid, type Server } from './server.ts'

const START_MS = 30_000
const STOP_MS = 10_000
const LOOK_MS = 1_000
/** Firmware that touches no boot device by then waits at a menu. */
const POST_MS = 180_000

/** Words of the script for what the firmware tries first; by bootindex: card, disk, CD. */
const FIRST: Readonly<Record<string, string>> = { Pxe: 'pxe', UefiHttp: 'pxe', Hdd: 'default', Cd: 'cdrom' }
const ORDERS: Readonly<Record<string, readonly [nic: number, disk: number, cd: number]>> = {
  none: [1, 2, 3],
  pxe: [1, 2, 3],
  default: [2, 1, 3],
  cdrom: [2, 3, 1],
}
const DEVICES = ['nic0', 'disk0', 'cd'] as const

export class QemuMachine implements Machine {
  readonly identity: Identity
  inPost = false
  private readonly server: Server
  private readonly say: (line: string) => void
  private readonly media = new Map<string, string>()
  private next: NextBoot = { target: null, mode: 'UEFI' }
  private qmp: Qmp | undefined
  private listener: (event: MachineEvent) => void = () => undefined
  private postEndsMs = 0
  private atStart = { packets: 0, reads: 0 }
  private busy = Promise.resolve()

  /** `say`: what goes wrong in the guest is for the log of its BMC. */
  constructor(server: Server, say: (line: string) => void) {
    this.server = server
    this.say = say
    this.identity = {
      uuid: systemUuid(server),
      manufacturer: 'Rackward',
      model: 'Lab',
      serialNumber: server.name,
      macs: [server.mac, server.secondMac],
    }
    setInterval(() => void this.look().catch((error: Error) => this.say(error.message)), LOOK_MS).unref()
  }

  onEvent(listener: (event: MachineEvent) => void): void {
    this.listener = listener
  }

  get power(): PowerState {
    return this.pid() === undefined ? 'Off' : 'On'
  }

  async setNextBoot(next: NextBoot): Promise<void> {
    this.next = next
    await this.order().catch((error: Error) => this.say(`boot order: ${error.message}`))
  }

  start = (): Promise<void> =>
    this.alone(async () => {
      if (this.pid() !== undefined) return
      const boot = this.word()
      await this.writeHttpBoot()
      // Paused until its media are in the drive: firmware looks for them within a second.
      const env = { PAUSED: '1', ...(boot === 'none' ? {} : { BOOT: boot }) }
      await this.script(['set', 'power', '1'], env)
      const qmp = await this.attach()
      for (const [drive, url] of this.media) await this.load(qmp, drive, url)
      await qmp.do('cont')
      this.started()
    })

  stop = (): Promise<void> =>
    this.alone(async () => {
      const pid = this.pid()
      if (pid === undefined) return
      await this.qmp?.do('quit').catch(() => undefined)
      await until(() => !existsSync(`/proc/${pid}`), {
        what: `the guest of ${this.server.name} to end`,
        timeoutMs: STOP_MS,
      }).catch(() => process.kill(pid, 'SIGKILL'))
    })

  async pressButton(): Promise<void> {
    if (this.pid() === undefined) return this.start()
    await this.qmp?.do('system_powerdown')
  }

  async reset(): Promise<void> {
    if (this.pid() === undefined) return this.start()
    if (this.httpUri() === undefined) return void (await this.qmp?.do('system_reset'))
    // The variables are the guest's own while it runs.
    await this.stop()
    await this.start()
  }

  async nmi(): Promise<void> {
    await this.qmp?.do('inject-nmi')
  }

  async setMedium(drive: string, url: string | null): Promise<void> {
    if (url === null) this.media.delete(drive)
    else this.media.set(drive, url)
    if (this.qmp) await this.load(this.qmp, drive, url)
  }

  /** As the server was made, or as it was ordered since. A server without Secure Boot has no such file, and the keys of
   *  the manufacturer for when it is switched on. */
  get secureBoot(): SecureBootNext {
    const file = this.secureBootFile()
    if (!existsSync(file)) return { enabled: false, keys: 'factory' }
    const [enabled, keys] = readFileSync(file, 'utf8').trim().split(' ')
    return { enabled: enabled === 'on', keys: keys === 'factory' ? 'factory' : 'none' }
  }

  /** The script takes it at the next start: other code of the firmware, other variables. */
  async setSecureBoot(next: SecureBootNext): Promise<void> {
    await writeFile(this.secureBootFile(), `${next.enabled ? 'on' : 'off'} ${next.keys}\n`)
  }

  private secureBootFile = (): string => join(this.server.dir, 'secure-boot')

  private script = (words: readonly string[], env: Readonly<Record<string, string>> = {}) =>
    runOk([join(this.server.dir, 'chassis.sh'), ...words], { timeoutMs: START_MS, env })

  /** One start or stop at a time. */
  private alone(work: () => Promise<void>): Promise<void> {
    const mine = this.busy.then(work)
    this.busy = mine.catch(() => undefined)
    return mine
  }

  /** Where a URL does not boot, the disk is next and not another network boot, which would hide it. */
  private word = (): string => (this.httpUri() === undefined ? (FIRST[this.next.target ?? ''] ?? 'none') : 'default')

  private httpUri = (): string | undefined => (this.next.target === 'UefiHttp' ? this.next.httpUri : undefined)

  /** The firmware finds the URL among its variables. */
  private async writeHttpBoot(): Promise<void> {
    const url = this.httpUri()
    if (url === undefined || this.server.firmware !== 'uefi') return
    await this.script(['firmware'])
    const file = join(this.server.dir, 'vars.fd')
    await writeFile(file, withHttpBoot(await readFile(file), url))
  }

  /** Not just any process with that number: the one whose disk is ours. */
  private pid(): number | undefined {
    try {
      const pid = readFileSync(join(this.server.dir, 'pid'), 'utf8').trim()
      return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(this.server.diskFile) ? Number(pid) : undefined
    } catch {
      return undefined
    }
  }

  /** A guest that was started over IPMI, and the end of POST, show when one looks. */
  private async look(): Promise<void> {
    if (this.pid() !== undefined && !this.qmp)
      await this.alone(async () => {
        if (this.qmp || this.pid() === undefined) return
        await this.attach()
        this.started()
      })
    if (this.inPost && (Date.now() > this.postEndsMs || (await this.bootsFromSomething()))) {
      this.inPost = false
      this.listener('posted')
    }
  }

  private async attach(): Promise<Qmp> {
    const path = join(this.server.dir, 'qmp.sock')
    const qmp = await until(() => Qmp.open(path).catch(() => undefined), {
      what: `QMP of ${this.server.name}`,
      timeoutMs: START_MS,
    })
    this.qmp = qmp
    qmp.watch({
      event: (event) => {
        if (event === 'RESET') this.started()
      },
      end: () => {
        if (this.qmp === qmp) this.qmp = undefined
        this.inPost = false
        this.listener('off')
      },
    })
    return qmp
  }

  private started(): void {
    this.inPost = true
    this.postEndsMs = Date.now() + POST_MS
    this.atStart = { packets: this.packets(), reads: Number.POSITIVE_INFINITY }
    void this.reads().then((reads) => (this.atStart = { ...this.atStart, reads }))
    this.listener('started')
  }

  /** The boot order that the firmware reads at the next reset (QEMU hands it over then). */
  private async order(): Promise<void> {
    const { qmp } = this
    if (!qmp) return
    const set = (device: string, value: number) =>
      qmp.do('qom-set', { path: `/machine/peripheral/${device}`, property: 'bootindex', value })
    // No two devices may have one index, not even for a moment.
    for (const device of DEVICES) await set(device, -1)
    for (const [i, device] of DEVICES.entries()) await set(device, ORDERS[this.word()]?.[i] ?? i + 1)
  }

  /** QEMU reads an http URL itself, in ranges, while the guest reads the drive. A URL that cannot be opened leaves the
   *  drive empty, as with real BMCs. */
  private async load(qmp: Qmp, drive: string, url: string | null): Promise<void> {
    if (!/^(CD|DVD)/i.test(drive)) return
    try {
      await qmp.do('eject', { id: 'cd', force: true })
      if (url !== null)
        await qmp.do('blockdev-change-medium', {
          id: 'cd',
          filename: url,
          format: 'raw',
          'read-only-mode': 'read-only',
        })
    } catch (error) {
      this.say(`medium ${url ?? 'none'}: ${(error as Error).message}`)
    }
  }

  /** Firmware has read a drive or sent a packet. */
  private async bootsFromSomething(): Promise<boolean> {
    return this.packets() > this.atStart.packets || (await this.reads()) > this.atStart.reads
  }

  /** Reads of disk and CD since the guest runs; a reset does not count anew. */
  private async reads(): Promise<number> {
    const stats = ((await this.qmp?.do('query-blockstats').catch(() => [])) ?? []) as {
      qdev?: string
      stats: { rd_operations: number }
    }[]
    return stats
      .filter(({ qdev }) => /disk0|cd/.test(qdev ?? ''))
      .reduce((sum, { stats: { rd_operations } }) => sum + rd_operations, 0)
  }

  /** From the guest's first card, since it exists. */
  private packets(): number {
    try {
      return Number(readFileSync(`/sys/class/net/${this.server.taps[0]}/statistics/rx_packets`, 'utf8'))
    } catch {
      return 0
    }
  }
}
