/** The agent in the ramdisk of a simulated server: the real connection to the conductor, real downloads, and times
 *  instead of disks. */
import { createHash } from 'node:crypto'
import {
  ImageIndex,
  type Disk,
  type Inventory,
  type Order,
  type Progress,
  type Report,
} from '../../conductor/api/agent-wire.ts'
import { ConductorLink } from '../../host-agent/deploy/conductor.ts'
import { parseCmdline, type BootArgs } from '../../host-agent/deploy/cmdline.ts'
import { chooseRootDisk } from '../../host-agent/deploy/hints.ts'
import type { Clock } from '../../kit/clock.ts'
import { asFault, Fault, isFault } from '../../kit/fault.ts'
import type { Random } from '../../kit/random.ts'
import type { FaultName } from './faults.ts'
import type { Measures } from './measures.ts'
import { fetchAll } from './network-boot.ts'
import type { ServerTimes } from './times.ts'

export interface Machine {
  readonly mac: string
  readonly uuid: string
  readonly fault: FaultName | undefined
  readonly times: ServerTimes
  /** Its disk holds an image, or nothing. */
  hasSystem: boolean
}

export interface AgentParts {
  readonly clock: Clock
  readonly random: Random
  readonly measures: Measures
}

type Done = NonNullable<Report['done']>

/** As the real one: progress comes at least once a second. */
const REPORT_MS = 900
/** A refused token or session stays refused; the agent is started again all the same. */
const REFUSED_MS = 30_000
const RETRY_MS = 2_000
const DISK_BYTES = 960_197_124_096
const MEMORY_BYTES = 256 * 1024 ** 3
const CORES = 32

/** Carries out orders until the server is switched off, or runs what it wrote: then it answers. */
export async function runAgent(
  cmdline: string,
  { machine, signal }: { readonly machine: Machine; readonly signal: AbortSignal },
  parts: AgentParts,
): Promise<void> {
  const args = parseCmdline(cmdline)
  if ('claim' in args) throw new Fault('agent.token', 'simulated servers boot no signed ramdisk')
  const agent = new Agent(args, { machine, signal }, parts)
  for (;;) {
    try {
      return await agent.live()
    } catch (error) {
      signal.throwIfAborted()
      parts.measures.count(`agent: ${isFault(error) ? error.code : String(error)}`)
      const isRefused = isFault(error, 'agent.token') || isFault(error, 'agent.session')
      await parts.clock.sleep(isRefused ? REFUSED_MS : RETRY_MS, signal)
    }
  }
}

class Agent {
  private readonly args: BootArgs
  private readonly machine: Machine
  private readonly signal: AbortSignal
  private readonly parts: AgentParts
  private readonly secret: string

  constructor(args: BootArgs, at: { readonly machine: Machine; readonly signal: AbortSignal }, parts: AgentParts) {
    this.args = args
    this.machine = at.machine
    this.signal = at.signal
    this.parts = parts
    this.secret = parts.random.bytes(32).toString('base64url')
  }

  async live(): Promise<void> {
    const { args, parts, signal, secret } = this
    const { clock, measures } = parts
    const localAddress = args.ip.split('/')[0] as string
    const link = new ConductorLink({ url: args.url, pin: args.pin, clock, localAddress })
    const close = () => link.close()
    signal.addEventListener('abort', close, { once: true })
    try {
      const session = { token: args.token as string, secret, macs: [args.mac], bootMode: 'uefi' as const }
      await measures.of('session of the agent', () => link.open(session))
      for (let have = ''; ;) {
        const startMs = performance.now()
        const order = await link.order(have)
        if (order && order.id !== have) {
          measures.add('order for the agent', performance.now() - startMs)
          if (await this.obey(link, order)) return
        }
        have = order?.id ?? ''
      }
    } finally {
      signal.removeEventListener('abort', close)
      link.close()
    }
  }

  /** True when the server runs its own system from now on. */
  private async obey(link: ConductorLink, order: Order): Promise<boolean> {
    const { clock, measures } = this.parts
    if (this.machine.fault === 'silent') await clock.sleep(Infinity, this.signal)
    let progress: Progress = { phase: order.kind, doneBytes: 0, totalBytes: 0 }
    const over = new AbortController()
    const reporting = (async () => {
      while (!over.signal.aborted) {
        await link.report({ orderId: order.id, progress }).catch(() => measures.count('progress that was not taken'))
        await clock.sleep(REPORT_MS, over.signal).catch(() => undefined)
      }
    })()
    const result = await this.carryOut(link, order, (now) => (progress = now)).then(
      (done) => ({ done }),
      (error: unknown) => {
        const { code, detail } = asFault(error, 'agent.broken')
        return { failed: { code, text: detail.slice(0, 4000) } }
      },
    )
    over.abort()
    await reporting
    this.signal.throwIfAborted()
    await measures
      .of('report of the agent', () => link.report({ orderId: order.id, ...result }))
      .catch((error: unknown) => {
        if (!isFault(error, 'store.stale')) throw error
      })
    return 'done' in result && (order.kind === 'jump' || order.kind === 'rescue')
  }

  private async carryOut(link: ConductorLink, order: Order, tell: (progress: Progress) => void): Promise<Done> {
    const { times } = this.machine
    switch (order.kind) {
      case 'inspect':
        await this.spend(times.ms('inspect'))
        return { inventory: this.inventory(), rootDisk: this.disk }
      case 'clean': {
        await this.spend(times.ms('erase'))
        const how = order.whole ? 'zeroed' : order.discard ? 'discarded' : 'metadata'
        this.machine.hasSystem = false
        const { name, serial, sizeBytes } = this.disk
        return { erased: [{ disk: name, serial, sizeBytes, how }] }
      }
      case 'deploy':
        return this.deploy(link, order, tell)
      case 'keys':
      case 'rescue':
      case 'jump':
        await this.spend(times.ms('finish'))
        return {}
      case 'raid':
        throw new Fault('raid.failed', 'simulated servers have one disk and no RAID')
    }
  }

  private async deploy(
    link: ConductorLink,
    order: Extract<Order, { kind: 'deploy' }>,
    tell: (progress: Progress) => void,
  ): Promise<Done> {
    const { machine, signal, parts, args } = this
    const { clock, measures } = parts
    const startMs = clock.now()
    const bytes = await measures.of('index of the image', () => link.index())
    if (createHash('sha256').update(bytes).digest('hex') !== order.indexSha256)
      throw new Fault('image.piece', 'the index of the image is not the one that was ordered')
    const index = ImageIndex.parse(JSON.parse(bytes.toString('utf8')))
    const rootDisk = chooseRootDisk([this.disk], order.rootDevice, index.sizeBytes)
    if (order.configDrive) await measures.of('config drive', () => link.configDrive())
    if (machine.fault === 'bad-disk')
      throw new Fault('deploy.readback', `${rootDisk.name} does not hold piece 0 as it was written`)
    const writtenMs = machine.times.transferMs(index.sizeBytes)
    const beginMs = clock.now()
    const at = { localAddress: args.ip.split('/')[0] as string, signal, measures }
    const gotBytes = await measures.of('image', () => fetchAll(order.dataUrl, at))
    if (gotBytes !== index.dataBytes)
      throw new Fault('deploy.download', `${gotBytes} bytes came instead of ${index.dataBytes}`)
    for (let leftMs = writtenMs; leftMs > 0; leftMs = beginMs + writtenMs - clock.now()) {
      const share = Math.min(1, 1 - leftMs / writtenMs)
      tell({ phase: 'write', doneBytes: Math.max(0, Math.floor(share * index.sizeBytes)), totalBytes: index.sizeBytes })
      await this.spend(Math.min(leftMs, REPORT_MS))
    }
    await this.spend(machine.times.ms('finish'))
    machine.hasSystem = true
    const timings = { write: (clock.now() - startMs) / 1000 }
    return {
      rootDisk,
      writtenBytes: index.sizeBytes,
      timings,
      ...(order.partition ? { partitioned: true } : {}),
      ...(order.kexec ? { jump: { ready: true } } : {}),
    }
  }

  private spend = (ms: number): Promise<void> => this.parts.clock.sleep(Math.max(0, ms), this.signal)

  private get disk(): Disk {
    const serial = this.machine.uuid.slice(-12)
    return {
      name: '/dev/nvme0n1',
      sizeBytes: DISK_BYTES,
      rotational: false,
      model: 'Simulated NVMe',
      vendor: null,
      serial,
      wwn: null,
      hctl: null,
      byPath: null,
      transport: 'nvme',
      logicalSectorBytes: 512,
      readOnly: false,
    }
  }

  private inventory(): Inventory {
    const { mac, uuid } = this.machine
    const card = {
      name: 'eno1',
      mac,
      hasCarrier: true,
      speedMbps: 25_000,
      driver: 'mlx5_core',
      vendor: null,
      product: null,
    }
    return {
      cpu: { count: CORES, model: 'Simulated CPU', architecture: 'x86_64', frequencyMhz: 2600, flags: [] },
      memoryBytes: MEMORY_BYTES,
      physicalMemoryMb: MEMORY_BYTES / 1024 ** 2,
      disks: [this.disk],
      nics: [{ ...card, pciAddress: null, ipv4: this.args.ip.split('/')[0] as string }],
      bootMode: 'uefi',
      bootMac: mac,
      system: {
        vendor: 'Rackward',
        product: 'Simulated server',
        serial: uuid.slice(-12),
        uuid,
        firmwareVersion: '1.0',
      },
      bmcAddress: null,
    }
  }
}
