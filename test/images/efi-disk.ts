/** Disk images with an EFI system partition, made with sfdisk and mtools, and loaders with and without a signature. */
import { mkdir, open, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { runOk } from '../../kit/run.ts'

const MIB = 1024 * 1024
const START_MIB = 1
const TIMEOUT_MS = 30_000

export interface EspOptions {
  readonly label?: 'gpt' | 'dos'
  readonly bits?: 12 | 16 | 32
  /** Path on the ESP, below EFI, such as EFI/BOOT/BOOTX64.EFI -> its content. */
  readonly files: Readonly<Record<string, Buffer>>
}

/** The least size that has so many bits. */
const ESP_MIB = { 12: 2, 16: 16, 32: 40 } as const

export async function makeEfiDisk(disk: string, { label = 'gpt', bits = 12, files }: EspOptions): Promise<void> {
  const tool = (argv: string[], input?: string) =>
    runOk(argv, { timeoutMs: TIMEOUT_MS, ...(input === undefined ? {} : { input }) })
  const espMib = ESP_MIB[bits]
  await writeFile(disk, '')
  await truncate(disk, (START_MIB + espMib + 1) * MIB)
  const type = label === 'gpt' ? 'U' : 'ef'
  await tool(['sfdisk', '--quiet', '--label', label, disk], `start=${START_MIB}MiB, size=${espMib}MiB, type=${type}\n`)

  const esp = `${disk}.esp`
  await writeFile(esp, '')
  await truncate(esp, espMib * MIB)
  await tool(['mkfs.vfat', '-F', String(bits), esp])
  const tree = `${disk}.tree`
  await rm(tree, { recursive: true, force: true })
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(tree, path)), { recursive: true })
    await writeFile(join(tree, path), content)
  }
  if (Object.keys(files).length > 0) await tool(['mcopy', '-s', '-i', esp, join(tree, 'EFI'), '::/'])
  const file = await open(disk, 'r+')
  try {
    await file.write(await readFile(esp), 0, espMib * MIB, START_MIB * MIB)
  } finally {
    await file.close()
  }
}

/** The head of a program of UEFI (PE32+), with a certificate table that is not empty where it is signed. */
export function loader(signed: boolean, machine = 0x8664): Buffer {
  const bytes = Buffer.alloc(8192)
  const [pe, optional, certificate, certificateBytes] = [128, 152, 6144, 1024]
  bytes.write('MZ', 0, 'latin1')
  bytes.writeUInt32LE(pe, 60)
  bytes.writeUInt32LE(0x4550, pe)
  bytes.writeUInt16LE(machine, pe + 4)
  bytes.writeUInt16LE(0x20b, optional)
  bytes.writeUInt32LE(16, optional + 108)
  if (!signed) return bytes
  bytes.writeUInt32LE(certificate, optional + 112 + 4 * 8)
  bytes.writeUInt32LE(certificateBytes, optional + 112 + 4 * 8 + 4)
  return bytes
}
