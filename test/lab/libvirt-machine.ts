/** A libvirt domain as the machine of a virtual Redfish BMC: Vagrant's servers. Boot order and media go into its
 *  definition, which libvirt takes at the next start. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { until } from '../../kit/clock.ts'
import type { Run } from '../../kit/run.ts'
import type { Identity, Machine, MachineEvent, NextBoot, PowerState, SecureBootNext } from '../redfish/machine.ts'
import { macsIn, uuidIn, withBootOrder, withMedium } from './libvirt-domain.ts'

/** Emulated machines may have all cores for a while. */
const TIMEOUT_MS = 120_000
const LOOK_MS = 1_000
/** Firmware that touches no boot device by then waits at a menu. */
const POST_MS = 180_000
const VIRSH = ['virsh', '-q', '-c', 'qemu:///system']

export interface LibvirtParts {
  readonly run: Run
  /** Of its own, for definitions. */
  readonly dir: string
  readonly say: (line: string) => void
}

export class LibvirtMachine implements Machine {
  readonly identity: Identity
  /** Vagrant's servers have the firmware of a BIOS. */
  readonly secureBoot: SecureBootNext = { enabled: false, keys: 'none' }
  power: PowerState = 'Off'
  inPost = false
  private readonly run: Run
  private readonly dir: string
  private readonly say: (line: string) => void
  private listener: (event: MachineEvent) => void = () => undefined
  private postEndsMs = 0
  private touchesAtStart = 0
  private busy: Promise<unknown> = Promise.resolve()
  private readonly looking: NodeJS.Timeout
  private isLooking = false

  private constructor(identity: Identity, { run, dir, say }: LibvirtParts) {
    this.identity = identity
    this.run = run
    this.dir = dir
    this.say = say
    this.looking = setInterval(() => {
      if (this.isLooking) return
      this.isLooking = true
      void this.look()
        .catch((error: Error) => say(error.message))
        .finally(() => (this.isLooking = false))
    }, LOOK_MS)
    this.looking.unref()
  }

  /** `domain`: its name. Throws when libvirt does not know it. */
  static async open(domain: string, parts: LibvirtParts): Promise<LibvirtMachine> {
    const xml = await virsh(parts.run, ['dumpxml', '--inactive', domain])
    const identity = {
      uuid: uuidIn(xml),
      manufacturer: 'Rackward',
      model: 'Vagrant',
      serialNumber: domain,
      macs: macsIn(xml),
    }
    const machine = new LibvirtMachine(identity, parts)
    await machine.look()
    return machine
  }

  onEvent(listener: (event: MachineEvent) => void): void {
    this.listener = listener
  }

  setNextBoot = (next: NextBoot): Promise<void> => this.redefine((xml) => withBootOrder(xml, next.target))

  start = (): Promise<void> =>
    this.alone(async () => {
      if (await this.isOn()) return
      await this.virsh('start', this.name)
      await this.started()
    })

  stop = (): Promise<void> => this.alone(() => this.pull())

  async pressButton(): Promise<void> {
    if (await this.isOn()) await this.virsh('shutdown', '--mode', 'acpi', this.name)
    else await this.start()
  }

  /** A domain that is merely reset keeps the boot order of its start. */
  reset = (): Promise<void> =>
    this.alone(async () => {
      await this.pull()
      await this.virsh('start', this.name)
      await this.started()
    })

  async nmi(): Promise<void> {
    await this.virsh('inject-nmi', this.name)
  }

  async setMedium(drive: string, url: string | null): Promise<void> {
    if (/^(CD|DVD)/i.test(drive)) await this.redefine((xml) => withMedium(xml, url))
  }

  async setSecureBoot(): Promise<void> {
    throw new Error(`${this.name} starts by BIOS: there is no Secure Boot`)
  }

  close(): void {
    clearInterval(this.looking)
  }

  private get name(): string {
    return this.identity.serialNumber
  }

  /** One change at a time. */
  private alone(work: () => Promise<void>): Promise<void> {
    const mine = this.busy.then(work)
    this.busy = mine.catch(() => undefined)
    return mine
  }

  /** The BMC has answered already when libvirt refuses: it is said here, and the others go on. */
  private redefine = (change: (xml: string) => string): Promise<void> =>
    this.alone(async () => {
      const xml = await this.virsh('dumpxml', '--inactive', '--security-info', this.name)
      const changed = change(xml)
      if (changed === xml) return
      const file = join(this.dir, 'domain.xml')
      await writeFile(file, changed, { mode: 0o600 })
      await this.virsh('define', file)
    }).catch((error: Error) => this.say(`${this.name}: ${error.message}`))

  private async pull(): Promise<void> {
    if (!(await this.isOn())) return
    await this.virsh('destroy', this.name)
    await until(async () => !(await this.isOn()), { what: `${this.name} to be off`, timeoutMs: TIMEOUT_MS })
    this.ended()
  }

  /** Somebody else may have started or stopped it. */
  private look = (): Promise<void> =>
    this.alone(async () => {
      const isOn = await this.isOn()
      if (isOn && this.power === 'Off') await this.started()
      if (!isOn && this.power === 'On') this.ended()
      if (!this.inPost) return
      if (Date.now() > this.postEndsMs || (await this.touches()) > this.touchesAtStart) {
        this.inPost = false
        this.listener('posted')
      }
    })

  private async started(): Promise<void> {
    this.power = 'On'
    this.inPost = true
    this.postEndsMs = Date.now() + POST_MS
    this.touchesAtStart = await this.touches()
    this.listener('started')
  }

  private ended(): void {
    this.power = 'Off'
    this.inPost = false
    this.listener('off')
  }

  private isOn = async (): Promise<boolean> => (await this.virsh('domstate', this.name)).trim() !== 'shut off'

  /** How often it read a drive or sent a packet since it was started. */
  private async touches(): Promise<number> {
    const said = await this.virsh('domstats', '--interface', '--block', this.name)
    return [...said.matchAll(/\.(?:rd\.reqs|tx\.pkts)=(\d+)/g)].reduce((sum, [, count]) => sum + Number(count), 0)
  }

  private virsh = (...args: readonly string[]): Promise<string> => virsh(this.run, args)
}

async function virsh(run: Run, args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await run([...VIRSH, ...args], { timeoutMs: TIMEOUT_MS, env: { LC_ALL: 'C' } })
  if (code !== 0) throw new Error(`virsh ${args[0]}: ${stderr.trim().slice(0, 300)}`)
  return stdout
}
