/** Carries out one order. Every order may be given again after a crash: it begins anew and ends the same. */
import { createHash } from 'node:crypto'
import {
  CONFIG_DRIVE_BYTES,
  ImageIndex,
  indexFlaw,
  type ImageMoved,
  type Order,
  type Progress,
  type Report,
} from '../../conductor/api/agent-wire.ts'
import { architectureOf } from '../../kit/architecture.ts'
import { neededBytes } from '../../conductor/api/partition-wire.ts'
import type { Clock } from '../../kit/clock.ts'
import type { SwarmAnswer, SwarmCall } from '../../conductor/api/swarm-wire.ts'
import { Fault } from '../../kit/fault.ts'
import type { Random } from '../../kit/random.ts'
import type { Run } from '../../kit/run.ts'
import { eraseExpress, eraseMetadata, eraseWhole } from './clean.ts'
import { DiskFile } from './disk.ts'
import { readDrivers } from './disk-drivers.ts'
import { fitTable, growRoot, setUefiEntry, writeConfigDrive } from './finish.ts'
import { finishPartitions, planPartitions } from './finish-partition.ts'
import { chooseRootDisk } from './hints.ts'
import { readInventory } from './inventory.ts'
import { enrollKeys } from './keys.ts'
import { configureRaid } from './raid/configure.ts'
import { clearLoaders, installLoaders } from './raid/loader.ts'
import { jump, takeKernel, type JumpReady } from './kexec.ts'
import { Mdadm } from './raid/mdadm.ts'
import { lookAtDisks, notSkipped } from './raid/skip.ts'
import { disksAndVolumes, startVolumes, type RunningVolume } from './raid/volumes.ts'
import { PieceServers } from './piece-servers.ts'
import type { Moved } from './moved.ts'
import { openRescue } from './rescue.ts'
import { readBootMode, readDisks } from './sysfs.ts'
import type { MakeDoor } from './swarm/door.ts'
import type { Shared } from './swarm/fetch-parts.ts'
import { swarmFor } from './swarm/for-order.ts'
import { makeUnbootable, writeImage } from './write-image.ts'

export interface OrderParts {
  readonly clock: Clock
  readonly run: Run
  readonly bootMac: string
  readonly bootIp: string
  /** The index of the ordered image, as the bytes that the conductor hashed. */
  index(): Promise<Buffer>
  configDrive(): Promise<Buffer>
  /** Of the tracker; absent: the image server alone is asked. */
  readonly swarm?: (call: SwarmCall) => Promise<SwarmAnswer>
  /** How neighbours get at pieces. */
  readonly door?: MakeDoor
  readonly random: Random
  progress(progress: Progress): void
}

type Done = NonNullable<Report['done']>
const MIB = 1024 * 1024
/** More is not taken. */
const MAX_FROM = 200

export async function carryOut(order: Order, parts: OrderParts): Promise<Done> {
  switch (order.kind) {
    case 'inspect': {
      parts.progress({ phase: 'inspect', doneBytes: 0, totalBytes: 0 })
      const inventory = await readInventory({ ...parts, lldpMs: (order.lldpSeconds ?? 0) * 1000 })
      const root = await withVolumes(order.volumes ?? [], { ...parts, tolerant: true }, async (volumes) =>
        tryRoot(await disksAndVolumes(volumes)),
      )
      return { inventory, ...(root ? { rootDisk: root } : {}) }
    }
    case 'clean': {
      const onDisk = onDiskOf(parts, 'erase')
      const mdadm = new Mdadm(parts.run)
      await mdadm.stopAll()
      const looked = notSkipped(await lookAtDisks(await readDisks(), mdadm.examine), order.skip)
      const erase = order.whole ? eraseWhole : order.discard ? eraseExpress : eraseMetadata
      const erased = await erase(
        looked.map(({ disk }) => disk),
        [],
        { onDisk },
      )
      if (!order.volumes?.length) return { erased }
      const wanted = { skip: order.skip, remove: false, create: order.volumes }
      return { erased, volumes: await configureRaid(wanted, { ...parts, onDisk }) }
    }
    case 'raid':
      return { volumes: await configureRaid(order, { ...parts, onDisk: onDiskOf(parts, 'raid') }) }
    case 'keys':
      parts.progress({ phase: 'keys', doneBytes: 0, totalBytes: 0 })
      await enrollKeys(order.updates, parts)
      return {}
    case 'rescue':
      parts.progress({ phase: 'rescue', doneBytes: 0, totalBytes: 0 })
      await openRescue(order.passwordHash, { run: parts.run })
      return {}
    case 'jump':
      parts.progress({ phase: 'jump', doneBytes: 0, totalBytes: 0 })
      return jump(parts.run)
    case 'deploy':
      return withVolumes(order.volumes ?? [], parts, (volumes) => deploy(order, volumes, parts))
  }
}

const onDiskOf =
  (parts: OrderParts, phase: string) =>
  (done: number, total: number): void =>
    parts.progress({ phase, doneBytes: done, totalBytes: total })

/** Software RAID volumes run while they are worked with; stopped, their superblocks are clean. */
async function withVolumes<T>(
  ids: readonly string[],
  { run, tolerant = false }: { run: Run; tolerant?: boolean },
  work: (volumes: readonly RunningVolume[]) => Promise<T>,
): Promise<T> {
  const mdadm = new Mdadm(run)
  try {
    return await work(await startVolumes(mdadm, ids, { tolerant }))
  } finally {
    await mdadm.stopAll()
  }
}

async function deploy(
  order: Extract<Order, { kind: 'deploy' }>,
  volumes: readonly RunningVolume[],
  parts: OrderParts,
): Promise<Done> {
  const stopwatch = laps(parts.clock)
  parts.progress({ phase: 'prepare', doneBytes: 0, totalBytes: 0 })
  const index = readIndex(await parts.index(), order.indexSha256)
  checkArchitecture(index, process.arch)
  const driveBytes = order.configDrive ? CONFIG_DRIVE_BYTES : 0
  const wish = order.partition && { ...order.partition, imageBytes: index.sizeBytes, driveBytes }
  const needBytes = wish ? neededBytes(wish) : index.sizeBytes + (driveBytes > 0 ? driveBytes + 2 * MIB : 0)
  const disk = chooseRootDisk(await disksAndVolumes(volumes), order.rootDevice, needBytes)
  const volume = volumes.find((one) => one.disk.name === disk.name)
  const bootMode = await readBootMode()
  const plan = wish && planPartitions(wish, { disk, bootMode, isVolume: volume !== undefined, bios: wish.bios })
  const mdadm = new Mdadm(parts.run)
  // Before the disk is touched: what cannot be had must not cost the data that is there.
  const drive = order.configDrive ? await parts.configDrive() : undefined
  stopwatch.lap('prepare')
  const file = await DiskFile.open(disk.name)
  let ready: JumpReady | undefined
  let moved: ImageMoved | undefined
  try {
    if (volume) await clearLoaders(volume, mdadm)
    const source = new PieceServers(order.dataUrl, order.nearUrls)
    const swarm = await swarmFor(order, { ...parts, index, disk: file, source })
    const written = await writeImage({
      disk: file,
      swarm,
      index,
      diskBytes: disk.sizeBytes,
      source,
      compare: order.compare ?? true,
      clock: parts.clock,
      onProgress: (phase, doneBytes, soFar) => {
        if (phase === 'verify' && !stopwatch.has('write')) stopwatch.lap('write')
        const from = phase === 'write' ? sourcesText([swarm?.said, source.said], soFar) : undefined
        parts.progress({ phase, doneBytes, totalBytes: index.sizeBytes, ...(from ? { from } : {}) })
      },
    })
    moved = { ...written, ...(swarm?.shared ? { shared: sharedOf(swarm.shared) } : {}) }
    stopwatch.lap('readback')
    const drivers = order.kexec ? await readDrivers(disk.name) : []
    const taken = order.kexec
      ? await takeKernel({ disk: file, index, run: parts.run, scratch: '/run', drivers })
      : undefined
    if (taken) stopwatch.lap('kexec')
    parts.progress({ phase: 'finish', doneBytes: index.sizeBytes, totalBytes: index.sizeBytes })
    try {
      const about = { disk, index, clock: parts.clock }
      const label = await fitTable(about)
      if (drive) await writeConfigDrive(about, drive, label)
      if (wish && plan) await finishPartitions(about, file, { plan, args: wish.args, swapUuid: parts.random.uuid() })
      else await growRoot(about)
      if (volume) await installLoaders(volume, { mdadm, bootMode, efiLoader: index.efiLoader })
      else if (bootMode === 'uefi') await setUefiEntry(about)
      await file.flush()
    } finally {
      ready = await taken?.loading
    }
    stopwatch.lap('finish')
  } catch (error) {
    // Half an image must not boot; that it could not even be made unbootable is the smaller news.
    await makeUnbootable(file, disk.sizeBytes).catch(() => undefined)
    if (volume) await clearLoaders(volume, mdadm).catch(() => undefined)
    throw error
  } finally {
    await file.close()
  }
  return {
    rootDisk: disk,
    writtenBytes: index.sizeBytes,
    ...(plan ? { partitioned: true } : {}),
    ...(moved ? { moved } : {}),
    timings: stopwatch.laps,
    ...(ready ? { jump: ready } : {}),
  }
}

const sharedOf = ({ neighbours, ...bytes }: Shared) => ({ ...bytes, neighbours: [...neighbours] })

/** Where the bytes of an image come from, for whoever watches; undefined: all of them from the conductor. */
export function sourcesText(said: readonly (string | undefined)[], { heldPieces, pieces }: Moved): string | undefined {
  const held = heldPieces > 0 ? `(${heldPieces} of ${pieces} pieces already on the disk)` : undefined
  const from = said.filter(Boolean).join('; ')
  return from || held ? [from, held].filter(Boolean).join(' ').slice(0, MAX_FROM) : undefined
}

function readIndex(bytes: Buffer, sha256: string): ImageIndex {
  const found = createHash('sha256').update(bytes).digest('hex')
  if (found !== sha256) throw new Fault('image.piece', 'the index of the image is not the one that was ordered')
  const index = ImageIndex.parse(JSON.parse(bytes.toString('utf8')))
  const flaw = indexFlaw(index)
  if (flaw) throw new Fault('image.piece', `the index of the image is broken: ${flaw}`)
  return index
}

/** `arch`: of this server, as Node.js calls it. Throws `image.architecture` for an image that it cannot run, which the
 *  conductor lets through where it knows no architecture of the node. */
export function checkArchitecture({ architecture }: Pick<ImageIndex, 'architecture'>, arch: string): void {
  const own = architectureOf(arch)
  if (own && architecture && architecture !== own)
    throw new Fault(
      'image.architecture',
      `instance_info/image_source: the image is for ${architecture}, and this server is ${own}`,
    )
}

function tryRoot(disks: Parameters<typeof chooseRootDisk>[0]) {
  try {
    return chooseRootDisk(disks, null, 0)
  } catch {
    // A server without a disk that could be a root disk is inspected all the same.
    return undefined
  }
}

/** Seconds per part of the work. */
function laps(clock: Clock) {
  const times: Record<string, number> = {}
  let lastMs = clock.now()
  return {
    laps: times,
    has: (name: string) => name in times,
    lap(name: string) {
      const nowMs = clock.now()
      times[name] = Math.round(nowMs - lastMs) / 1000
      lastMs = nowMs
    },
  }
}
