/** A whole-disk image (GPT: BIOS boot on x86_64, ESP, ext4 root) made from a directory, with ordinary files only.
 *  The same files at the same `epochSeconds` make the same bytes. */
import { mkdir, open, truncate, writeFile } from 'node:fs/promises'
import type { Architecture } from '../../kit/architecture.ts'
import { runOk } from '../../kit/run.ts'
import { makeEsp } from './esp.ts'
import { biosBoot, earlyConfig } from './grub.ts'
import { ext4Env, settleExt4 } from './normalize.ts'

const MIB = 1024 * 1024
const SECTOR_BYTES = 512
const TIMEOUT_MS = 10 * 60_000
const BIOS_START_MIB = 1
const ESP_START_MIB = 2
const ESP_MIB = 64
const ROOT_START_MIB = ESP_START_MIB + ESP_MIB
/** Fixed as well: by chance they would differ from build to build. */
const HASH_SEED = 'c0de5eed-0b1d-4c3e-9b1a-52ac0d12deb1'
const DISK_UUID = '6b5f0c0e-7d2a-4f1b-8e11-52ac0d12deb1'
const PART_UUID = (last: string) => `6b5f0c0e-7d2a-4f1b-8e12-52ac0d12deb${last}`
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
  epochSeconds: number
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
      `offset=${ROOT_START_MIB * MIB},nodiscard,lazy_itable_init=1,lazy_journal_init=1,hash_seed=${HASH_SEED}`,
      '-m',
      '1',
      opts.disk,
      `${opts.rootMib}M`,
    ],
    { timeoutMs: TIMEOUT_MS, env: ext4Env(opts.epochSeconds) },
  )
  await settleExt4(`${opts.disk}?offset=${ROOT_START_MIB * MIB}`, opts)
  const coreLba = (BIOS_START_MIB * MIB) / SECTOR_BYTES
  const bios =
    opts.architecture === 'x86_64' ? await biosBoot({ ...opts, early: earlyConfig(opts.rootUuid), coreLba }) : undefined
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

const BIOS_PARTITION = `start=${BIOS_START_MIB}MiB, size=1MiB, type=21686148-6449-6E6F-744E-656564454649, uuid=${PART_UUID('1')}, name=bios`

const partitionScript = ({
  architecture,
  rootMib,
}: {
  architecture: Architecture
  rootMib: number
}) => `label-id: ${DISK_UUID}
${architecture === 'x86_64' ? BIOS_PARTITION : ''}
start=${ESP_START_MIB}MiB, size=${ESP_MIB}MiB, type=U, uuid=${PART_UUID('2')}, name=esp
start=${ROOT_START_MIB}MiB, size=${rootMib}MiB, type=L, uuid=${PART_UUID('3')}, name=root
`
