/** After a partition image: the root partition gets its size, and the file system with it; swap is made; and the boot
 *  menu of this node is written over that of the image. */
import type { Disk } from '../../conductor/api/agent-wire.ts'
import {
  bootMenu,
  ESP_START_MIB,
  fileSystemOf,
  finishPlan,
  MENU_BYTES,
  MENU_PATH,
  readFatFile,
  ROOT_PARTITION,
  ROOT_START_MIB,
  VOLUME_HEAD_BYTES,
  type FileSystem,
  type FinishPlan,
  type FinishWish,
} from '../../conductor/api/partition-wire.ts'
import { Fault } from '../../kit/fault.ts'
import { runOk } from '../../kit/run.ts'
import type { DiskFile } from './disk.ts'
import { growExt4, rereadTable, type FinishParts } from './finish.ts'
import { swapHeader } from './swap.ts'
import { readPartitions } from './sysfs.ts'

const TIMEOUT_MS = 5 * 60_000
const MIB = 1024 * 1024
const SECTOR_BYTES = 512
const SFDISK = ['sfdisk', '--quiet', '--no-reread', '--no-tell-kernel']

/** Before the disk is touched. Throws what this server cannot do. */
export function planPartitions(
  wish: Omit<FinishWish, 'diskBytes'>,
  at: { disk: Disk; bootMode: 'uefi' | 'bios'; isVolume: boolean; bios?: boolean | undefined },
): FinishPlan {
  if (at.bootMode !== 'uefi' && !at.bios)
    throw new Fault(
      'deploy.firmware',
      'instance_info/image_type: the image starts by UEFI alone, and this server runs in BIOS mode: install grub-pc-bin and grub-common on the conductor, give a whole-disk image, or set boot_mode:uefi',
    )
  if (at.isVolume)
    throw new Fault(
      'deploy.firmware',
      'instance_info/image_type: a partition image does not start from software RAID: give a whole-disk image',
    )
  if (at.disk.logicalSectorBytes !== SECTOR_BYTES)
    throw new Fault(
      'deploy.firmware',
      `instance_info/image_type: ${at.disk.name} has sectors of ${at.disk.logicalSectorBytes} bytes, and partition images need ${SECTOR_BYTES}`,
    )
  return finishPlan({ ...wish, diskBytes: at.disk.sizeBytes })
}

/** The table alone; the config drive was added before. `disk`: its name. */
export async function fitPartitions(disk: string, { rootMib, swap }: FinishPlan): Promise<void> {
  if (swap)
    await runOk([...SFDISK, '--append', disk], {
      timeoutMs: TIMEOUT_MS,
      input: `start=${swap.startMib}MiB, size=${swap.sizeMib}MiB, type=S, name=swap\n`,
    })
  await runOk([...SFDISK, '-N', String(ROOT_PARTITION), disk], { timeoutMs: TIMEOUT_MS, input: `, ${rootMib}MiB\n` })
}

/** What lies in the partitions: the header of swap, and the menu. Answers the root file system. */
export async function fillPartitions(
  file: DiskFile,
  { plan, args, swapUuid }: { plan: FinishPlan; args: readonly string[]; swapUuid: string },
): Promise<FileSystem> {
  const head = Buffer.alloc(VOLUME_HEAD_BYTES)
  await file.read(head, ROOT_START_MIB * MIB)
  const root = fileSystemOf(head)
  if (!root) throw new Fault('deploy.write', `${file.path} holds no file system where the image has its root`)
  const read = async (at: number, lengthBytes: number) => {
    const bytes = Buffer.alloc(lengthBytes)
    await file.read(bytes, at)
    return bytes
  }
  const menu = await readFatFile(read, ESP_START_MIB * MIB, { path: MENU_PATH, lengthBytes: MENU_BYTES })
  if (menu?.sizeBytes !== MENU_BYTES)
    throw new Fault('deploy.write', `${file.path} holds no boot menu where the image has it`)
  await writeProven(file, bootMenu(root.uuid, args), menu.at)
  if (plan.swap) await writeProven(file, swapHeader(plan.swap.sizeMib * MIB, swapUuid), plan.swap.startMib * MIB)
  return root
}

async function writeProven(file: DiskFile, bytes: Buffer, at: number): Promise<void> {
  await file.write(bytes, at)
  await file.flush()
  const back = Buffer.alloc(bytes.length)
  await file.read(back, at)
  if (!back.equals(bytes))
    throw new Fault('deploy.readback', `${file.path} does not hold what was written at byte ${at}`)
}

/** All of it, on the disk of this server. */
export async function finishPartitions(
  about: FinishParts,
  file: DiskFile,
  wish: { plan: FinishPlan; args: readonly string[]; swapUuid: string },
): Promise<void> {
  const { disk } = about
  await fitPartitions(disk.name, wish.plan)
  await rereadTable(about)
  const root = await fillPartitions(file, wish)
  const device = (await readPartitions(disk.name)).get(ROOT_PARTITION)?.device
  if (!device) throw new Fault('deploy.write', `${disk.name} has no partition ${ROOT_PARTITION}`)
  // XFS and btrfs grow while they are mounted: the system of the image does that.
  if (root.kind === 'ext4') await growExt4(device)
}
