/** The config drive of a node -> an ISO 9660 image labelled config-2 (OpenStack's config drive, which cloud-init, glean
 *  and Ignition read), or cidata (NoCloud, which cloud-init reads). */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { gunzip, type ZlibOptions } from 'node:zlib'
import { Fault } from '../../kit/fault.ts'
import { runOk } from '../../kit/run.ts'
import { DRIVE_LABELS, driveFiles, driveFormat } from '../node/policy/drive-form.ts'
import type { NodeRecord } from '../node/record.ts'
import type { DriveContent } from '../store/port.ts'

const TIMEOUT_MS = 60_000

export const wantsConfigDrive = (node: NodeRecord): boolean => node.configDrive !== null

/** Throws `input.invalid` when what was given is no config drive, or a bigger one than allowed. */
export async function buildConfigDrive(node: NodeRecord, given: DriveContent, limitBytes: number): Promise<Buffer> {
  const image =
    typeof given === 'string'
      ? await unpack(Buffer.from(given, 'base64'), limitBytes)
      : Buffer.isBuffer(given)
        ? await unpack(given, limitBytes)
        : await makeIso(node, given)
  if (image.length > limitBytes)
    throw new Fault('input.invalid', `instance_info/configdrive has ${image.length} bytes, more than ${limitBytes}`)
  return image
}

/** Ironic's older form: the gzipped ISO, which travels in base64. */
async function unpack(packed: Buffer, limitBytes: number): Promise<Buffer> {
  try {
    const iso = await promisify<Buffer, ZlibOptions, Buffer>(gunzip)(packed, { maxOutputLength: limitBytes + 1 })
    // ISO 9660 volume descriptors begin at sector 16; the identifier stands one byte in (ECMA-119 8.1).
    if (iso.subarray(32769, 32774).toString('latin1') !== 'CD001') throw new Error('it holds no ISO 9660 image')
    return iso
  } catch (error) {
    throw new Fault(
      'input.invalid',
      `instance_info/configdrive is not a gzipped ISO in base64: ${(error as Error).message}`,
      { cause: error },
    )
  }
}

async function makeIso(node: NodeRecord, given: Record<string, unknown>): Promise<Buffer> {
  const label = DRIVE_LABELS[driveFormat(given)]
  const dir = await mkdtemp(join(tmpdir(), 'rackward-configdrive-'))
  try {
    for (const [path, content] of Object.entries(driveFiles(node, given))) {
      const file = join(dir, 'tree', path)
      await mkdir(dirname(file), { recursive: true })
      await writeFile(file, content)
    }
    const iso = join(dir, 'drive.iso')
    await runOk(['genisoimage', '-quiet', '-J', '-r', '-V', label, '-o', iso, join(dir, 'tree')], {
      timeoutMs: TIMEOUT_MS,
    })
    return await readFile(iso)
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}
