/** After the image: room for the config drive at the end of the disk, the root file system grown up to it, the UEFI
 *  boot entry. */
import { ImageIndex, CONFIG_DRIVE_BYTES, type Disk } from '../../conductor/api/agent-wire.ts'
import { Fault } from '../../kit/fault.ts'
import { until, type Clock } from '../../kit/clock.ts'
import { run, runOk } from '../../kit/run.ts'
import { DiskFile } from './disk.ts'
import { readPartitions } from './sysfs.ts'
import { ESP_TYPE, makeUefiEntries } from './uefi.ts'

const TIMEOUT_MS = 5 * 60_000
const NODE_TIMEOUT_MS = 15_000
const MIB = 1024 * 1024
const SECTOR_BYTES = 512

export interface FinishParts {
  readonly disk: Disk
  readonly index: ImageIndex
  readonly clock: Clock
}

/** GPT: the backup table moves from the end of the image to the end of the disk. An MBR has nothing to move. */
export async function fitTable({ disk }: FinishParts): Promise<'gpt' | 'dos'> {
  const dump = await runOk(['sfdisk', '--json', disk.name], { timeoutMs: TIMEOUT_MS })
  const label = (JSON.parse(dump) as { partitiontable: { label: string } }).partitiontable.label
  if (label !== 'gpt' && label !== 'dos')
    throw new Fault('deploy.write', `${disk.name} has a partition table of the kind ${label}`)
  if (label === 'gpt')
    await runOk(['sfdisk', '--quiet', '--no-tell-kernel', '--relocate', 'gpt-bak-std', disk.name], {
      timeoutMs: TIMEOUT_MS,
    })
  return label
}

/** Adds the partition for the config drive at the end, writes the drive, reads it back. */
export async function writeConfigDrive(parts: FinishParts, iso: Buffer, label: 'gpt' | 'dos'): Promise<void> {
  const { disk } = parts
  if (iso.length > CONFIG_DRIVE_BYTES)
    throw new Fault('deploy.write', `the config drive has ${iso.length} bytes, more than ${CONFIG_DRIVE_BYTES}`)
  const startMib = await writeConfigDriveTable(disk, label)
  await rereadTable(parts)
  const file = await DiskFile.open(disk.name)
  try {
    await file.write(iso, startMib * MIB)
    await file.flush()
    const back = Buffer.alloc(iso.length)
    await file.read(back, startMib * MIB)
    if (!back.equals(iso))
      throw new Fault('deploy.readback', `${disk.name} does not hold the config drive as it was written`)
  } finally {
    await file.close()
  }
}

/** The partition alone; answers where it begins. */
export async function writeConfigDriveTable(disk: Disk, label: 'gpt' | 'dos'): Promise<number> {
  // One MiB stays free for the backup GPT.
  const startMib = Math.floor(disk.sizeBytes / MIB) - 1 - CONFIG_DRIVE_BYTES / MIB
  const script = `start=${(startMib * MIB) / SECTOR_BYTES}, size=${CONFIG_DRIVE_BYTES / SECTOR_BYTES}, type=${label === 'gpt' ? 'L' : '83'}${label === 'gpt' ? ', name=config-2' : ''}\n`
  await runOk(['sfdisk', '--quiet', '--no-reread', '--no-tell-kernel', '--append', disk.name], {
    timeoutMs: TIMEOUT_MS,
    input: script,
  })
  return startMib
}

/** Grows the partition that the image names up to what follows it, and its file system with it. */
export async function growRoot(parts: FinishParts): Promise<void> {
  const { disk, index } = parts
  if (!index.grow) return
  const { partition } = index.grow
  await runOk(['sfdisk', '--quiet', '--no-reread', '--no-tell-kernel', '-N', String(partition), disk.name], {
    timeoutMs: TIMEOUT_MS,
    input: ', +\n',
  })
  await rereadTable(parts)
  const device = (await readPartitions(disk.name)).get(partition)?.device
  if (!device)
    throw new Fault('deploy.write', `${disk.name} has no partition ${partition}, which its image wants grown`)
  await growExt4(device)
}

/** Grows a file system to its device, or to its file. */
export async function growExt4(device: string): Promise<void> {
  // e2fsck answers 1 when it corrected something, which is well.
  const checked = await run(['e2fsck', '-f', '-y', device], { timeoutMs: TIMEOUT_MS })
  if (checked.code === null || checked.code > 1)
    throw new Fault('deploy.write', `the file system on ${device} is broken: ${checked.stdout.slice(-500)}`)
  await runOk(['resize2fs', device], { timeoutMs: TIMEOUT_MS })
}

interface Table {
  readonly sectorsize?: number
  readonly partitions?: readonly {
    readonly node: string
    readonly start: number
    readonly size: number
    readonly type: string
  }[]
}

/** Extended partitions of an MBR: Linux shows two sectors of them, whatever their size. */
const EXTENDED = new Set(['5', 'f', '85'])

/** Whether the kernel shows exactly the partitions of a table. Places and sizes are bytes. */
export function showsTable(
  shown: ReadonlyMap<number, { startBytes: number; sizeBytes: number }>,
  { sectorsize = SECTOR_BYTES, partitions = [] }: Table,
): boolean {
  if (shown.size !== partitions.length) return false
  return partitions.every(({ node, start, size, type }) => {
    const found = shown.get(Number(/(\d+)$/.exec(node)?.[1]))
    return found?.startBytes === start * sectorsize && (EXTENDED.has(type) || found.sizeBytes === size * sectorsize)
  })
}

/** The kernel reads the table again and shows exactly its partitions: on a disk that had others, the number alone says
 *  nothing. */
export async function rereadTable({ disk, clock }: Pick<FinishParts, 'disk' | 'clock'>): Promise<void> {
  const dump = await runOk(['sfdisk', '--json', disk.name], { timeoutMs: TIMEOUT_MS })
  const table = (JSON.parse(dump) as { partitiontable: Table }).partitiontable
  // Somebody may still hold the disk open for a moment (a controller's own scan), and then the kernel answers "busy".
  await until(
    async () => {
      await runOk(['blockdev', '--rereadpt', disk.name], { timeoutMs: TIMEOUT_MS }).catch(() => undefined)
      return showsTable(await readPartitions(disk.name), table)
    },
    { what: `${disk.name} to show its partitions`, timeoutMs: NODE_TIMEOUT_MS, everyMs: 200, clock },
  ).catch((error: unknown) => {
    throw new Fault('deploy.write', `the kernel does not show the new partitions of ${disk.name}`, { cause: error })
  })
}

/** Makes the boot entry for the image's loader the first one, and removes those of earlier deploys. */
export async function setUefiEntry({ disk, index }: FinishParts): Promise<void> {
  const dump = await runOk(['sfdisk', '--json', disk.name], { timeoutMs: TIMEOUT_MS })
  const table = (JSON.parse(dump) as { partitiontable: { partitions: { node: string; type: string }[] } })
    .partitiontable
  const esp = table.partitions.find((partition) => ESP_TYPE.has(partition.type.toLowerCase()))
  if (!esp)
    throw new Fault('deploy.firmware', `the image has no EFI system partition, and ${disk.name} is to boot by UEFI`)
  const number = /(\d+)$/.exec(esp.node)?.[1] ?? '1'
  await makeUefiEntries([{ disk: disk.name, partition: number }], index.efiLoader)
}
