/** A whole-disk image (GPT: BIOS boot on x86_64, ESP, ext4 root) made from a directory, with ordinary files only. */
import { mkdir, open, truncate, writeFile } from 'node:fs/promises'
import type { Architecture } from '../../kit/architecture.ts'
import { runOk } from '../../kit/run.ts'
import { makeEsp } from './esp.ts'
import { biosBoot } from './grub.ts'

const MIB = 1024 * 1024
const SECTOR_BYTES = 512
const TIMEOUT_MS = 10 * 60_000
const BIOS_START_MIB = 1
const ESP_START_MIB = 2
const ESP_MIB = 64
const ROOT_START_MIB = ESP_START_MIB + ESP_MIB
/** Room for the backup GPT. */
const TAIL_MIB = 1

/** The last one; only x86_64 has a BIOS. */
export const rootPartition = (architecture: Architecture): number => (architecture === 'x86_64' ? 3 : 2)

export async function makeDisk(opts: {
  tree: string
  architecture: Architecture
  disk: string
  workDir: string
  rootUuid: string
  rootMib: number
}): Promise<void> {
  await mkdir(opts.workDir, { recursive: true })
  await writeFile(opts.disk, '')
  await truncate(opts.disk, (ROOT_START_MIB + opts.rootMib + TAIL_MIB) * MIB)
  await runOk(['sfdisk', '--quiet', '--label', 'gpt', opts.disk], {
    timeoutMs: TIMEOUT_MS,
    input: partitionScript(opts),
  })
  await runOk(
    [
      'mke2fs',
      '-q',
      '-F',
      '-t',
      'ext4',
      '-O',
      '^metadata_csum_seed,^orphan_file',
      '-L',
      'rackward-root',
      '-U',
      opts.rootUuid,
      '-d',
      opts.tree,
      '-E',
      `offset=${ROOT_START_MIB * MIB},nodiscard,lazy_itable_init=1,lazy_journal_init=1`,
      '-m',
      '1',
      opts.disk,
      `${opts.rootMib}M`,
    ],
    { timeoutMs: TIMEOUT_MS },
  )
  const coreLba = (BIOS_START_MIB * MIB) / SECTOR_BYTES
  const bios = opts.architecture === 'x86_64' ? await biosBoot({ ...opts, coreLba }) : undefined
  const file = await open(opts.disk, 'r+')
  try {
    if (bios) await file.write(bios.mbrCode, 0, bios.mbrCode.length, 0)
    if (bios) await file.write(bios.core, 0, bios.core.length, BIOS_START_MIB * MIB)
    const esp = await makeEsp({ ...opts, sizeMib: ESP_MIB })
    await file.write(esp, 0, esp.length, ESP_START_MIB * MIB)
  } finally {
    await file.close()
  }
}

const BIOS_PARTITION = `start=${BIOS_START_MIB}MiB, size=1MiB, type=21686148-6449-6E6F-744E-656564454649, name=bios`

const partitionScript = ({ architecture, rootMib }: { architecture: Architecture; rootMib: number }) => `
${architecture === 'x86_64' ? BIOS_PARTITION : ''}
start=${ESP_START_MIB}MiB, size=${ESP_MIB}MiB, type=U, name=esp
start=${ROOT_START_MIB}MiB, size=${rootMib}MiB, type=L, name=root
`
