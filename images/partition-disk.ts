/** Makes a whole disk of a file system, a kernel and a ramdisk: a GPT, and an EFI system partition with shim and the
 *  signed GRUB, which start the kernel from there, and a GRUB for BIOS that reads the same menu. Ordinary files only,
 *  and the same files make the same bytes. */
import { existsSync } from 'node:fs'
import { mkdtemp, open, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Fault } from '../kit/fault.ts'
import { runOk } from '../kit/run.ts'
import { isZero } from './pieces.ts'
import {
  BIOS_START_MIB,
  diskBytesFor,
  diskScript,
  ESP_MIB,
  ESP_PARTITION,
  ESP_START_MIB,
  MOST_BOOT_BYTES,
  ROOT_START_MIB,
} from './partition-layout.ts'
import { bootMenu, KERNEL_NAME, MENU_PATH, menuPointer, RAMDISK_NAME } from './partition-menu.ts'
import { BIOS_BOOT_FILE, biosBoot, earlyConfigOn } from './recipes/grub.ts'
import { efiProgram } from './signed-loader.ts'

const MIB = 1024 * 1024
const SECTOR_BYTES = 512
const TIMEOUT_MS = 5 * 60_000
/** Every time in the file system; FAT knows none before 1980. */
const EPOCH_SECONDS = 946_684_800
const ENV = { SOURCE_DATE_EPOCH: String(EPOCH_SECONDS), MTOOLS_SKIP_CHECK: '1', LC_ALL: 'C.UTF-8', TZ: 'UTC' }
/** Of the directory of loaders -> name beside shim. MokManager may be absent. */
export const PARTITION_LOADERS = { shim: 'bootx64.efi', grub: 'grubx64.efi' } as const
const MOK_MANAGER = 'mmx64.efi'
/** Linux x86 boot protocol: "HdrS". */
const HEADER_AT = 0x202
const HEADER = 'HdrS'

export interface PartitionParts {
  /** Files. */
  readonly volume: string
  readonly kernel: string
  readonly ramdisk: string
  /** Directory of `bootx64.efi` and `grubx64.efi`. */
  readonly loaders: string
  readonly rootUuid: string
  /** Whether it starts by BIOS as well. */
  readonly bios: boolean
  readonly signal: AbortSignal
}

/** Throws `image.format` for a kernel that is none. Answers whether Secure Boot would let it start. */
export async function checkKernel(path: string): Promise<{ signed: boolean }> {
  const file = await open(path)
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(4096), 0, 4096, 0)
    const head = buffer.subarray(0, bytesRead)
    if (head.toString('latin1', HEADER_AT, HEADER_AT + HEADER.length) !== HEADER)
      throw new Fault('image.format', 'instance_info/kernel is no Linux kernel for x86_64')
    return { signed: efiProgram({ bytes: head, sizeBytes: (await file.stat()).size }).signed === true }
  } finally {
    await file.close()
  }
}

/** Makes the disk at `disk`; `workDir` is for files that are not kept. */
export async function makePartitionDisk(disk: string, workDir: string, parts: PartitionParts): Promise<void> {
  const volumeBytes = (await stat(parts.volume)).size
  const bootBytes = (await stat(parts.kernel)).size + (await stat(parts.ramdisk)).size
  if (bootBytes > MOST_BOOT_BYTES)
    throw new Fault(
      'image.format',
      `instance_info/ramdisk: with the kernel it has ${bootBytes} bytes, and ${MOST_BOOT_BYTES} fit beside the boot loader`,
    )
  await writeFile(disk, '')
  await truncate(disk, diskBytesFor(volumeBytes))
  await runOk(['sfdisk', '--quiet', disk], { timeoutMs: TIMEOUT_MS, input: diskScript(volumeBytes) })
  const esp = await makeEsp(workDir, parts)
  await copySparse(esp, disk, { at: ESP_START_MIB * MIB, signal: parts.signal })
  await rm(esp)
  if (parts.bios) await writeBios(disk, workDir)
  await copySparse(parts.volume, disk, { at: ROOT_START_MIB * MIB, signal: parts.signal })
}

/** What the bytes of the loader for BIOS follow from: of one package, with its version. */
export const BIOS_FILES = ['kernel.img', 'normal.mod'].map((name) => join(dirname(BIOS_BOOT_FILE), name))

/** Whether this machine has what starts partition images by BIOS. */
export const hasBiosLoader = (): boolean => existsSync(BIOS_BOOT_FILE)

async function writeBios(disk: string, workDir: string): Promise<void> {
  const coreLba = (BIOS_START_MIB * MIB) / SECTOR_BYTES
  const early = earlyConfigOn(ESP_PARTITION, MENU_PATH.join('/'))
  // What is left in `workDir` would be kept with the image.
  const own = await mkdtemp(join(workDir, 'bios-'))
  const { mbrCode, core } = await biosBoot({ workDir: own, early, coreLba })
  await rm(own, { recursive: true })
  if (core.length > (ESP_START_MIB - BIOS_START_MIB) * MIB)
    throw new Fault('image.format', `GRUB for BIOS has ${core.length} bytes, more than its partition`)
  const file = await open(disk, 'r+')
  try {
    await file.write(mbrCode, 0, mbrCode.length, 0)
    await file.write(core, 0, core.length, coreLba * SECTOR_BYTES)
  } finally {
    await file.close()
  }
}

async function makeEsp(
  workDir: string,
  { kernel, ramdisk, loaders, rootUuid, signal }: PartitionParts,
): Promise<string> {
  const esp = join(workDir, 'esp')
  const options = { timeoutMs: TIMEOUT_MS, env: ENV, signal }
  const copy = (from: string, to: string) => runOk(['mcopy', '-i', esp, from, `::/${to}`], options)
  const text = async (bytes: string | Buffer, to: string) => {
    const from = join(workDir, 'esp-text')
    await writeFile(from, bytes)
    await copy(from, to)
    await rm(from)
  }
  await writeFile(esp, '')
  await truncate(esp, ESP_MIB * MIB)
  // A cluster holds the whole menu: it lies in one place.
  await runOk(['mkfs.vfat', '--invariant', '-F', '32', '-s', '8', '-n', 'ESP', esp], options)
  for (const directory of ['EFI', 'EFI/BOOT', 'EFI/debian', 'grub'])
    await runOk(['mmd', '-i', esp, `::/${directory}`], options)
  await text(bootMenu(rootUuid, []), MENU_PATH.join('/'))
  await text(menuPointer, 'EFI/debian/grub.cfg')
  await text(menuPointer, 'EFI/BOOT/grub.cfg')
  await copy(join(loaders, PARTITION_LOADERS.shim), 'EFI/BOOT/BOOTX64.EFI')
  await copy(join(loaders, PARTITION_LOADERS.grub), 'EFI/BOOT/grubx64.efi')
  const mokManager = await readFile(join(loaders, MOK_MANAGER)).catch(() => undefined)
  if (mokManager) await text(mokManager, `EFI/BOOT/${MOK_MANAGER}`)
  await copy(kernel, KERNEL_NAME)
  await copy(ramdisk, RAMDISK_NAME)
  return esp
}

/** Zeros stay holes. */
async function copySparse(
  from: string,
  to: string,
  { at, signal }: { at: number; signal: AbortSignal },
): Promise<void> {
  const source = await open(from)
  const target = await open(to, 'r+')
  try {
    const buffer = Buffer.alloc(MIB)
    for (let done = 0; ;) {
      signal.throwIfAborted()
      const { bytesRead } = await source.read(buffer, 0, MIB, done)
      if (bytesRead === 0) return
      const bytes = buffer.subarray(0, bytesRead)
      for (let written = isZero(bytes) ? bytesRead : 0; written < bytesRead;)
        written += (await target.write(bytes, written, bytesRead - written, at + done + written)).bytesWritten
      done += bytesRead
    }
  } finally {
    await source.close()
    await target.close()
  }
}
