/** The jump into the image that was written (kexec): its kernel is read from the disk by the places that the index
 *  names, proven, and loaded by the kernel of the ramdisk, which checks its signature where Secure Boot is on. */
import { createHash } from 'node:crypto'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ImageIndex, Report } from '../../conductor/api/agent-wire.ts'
import { Fault } from '../../kit/fault.ts'
import type { Run } from '../../kit/run.ts'
import type { DiskFile } from './disk.ts'

export type JumpReady = NonNullable<NonNullable<Report['done']>['jump']>
type BootFile = NonNullable<ImageIndex['bootKernel']>['kernel']

const TIMEOUT_MS = 5 * 60_000
const MAX_WHY = 1_000
/** An initramfs may be as large as what is left of the memory. */
const PIECE_BYTES = 4 * 1024 * 1024

export interface LoadParts {
  readonly disk: Pick<DiskFile, 'read'>
  readonly index: Pick<ImageIndex, 'bootKernel' | 'sizeBytes'>
  readonly run: Run
  /** Where the two files stand until they are loaded. */
  readonly scratch: string
}

/** Before the file systems of the image are grown, which may move its files. What keeps the kernel from being loaded
 *  costs a jump, not the deploy. */
export async function loadKernel(parts: LoadParts): Promise<JumpReady> {
  const { index, run, scratch } = parts
  const { bootKernel } = index
  if (!bootKernel) return { ready: false, why: 'no kernel is known of the image' }
  const [kernel, initrd] = [join(scratch, 'image-kernel'), join(scratch, 'image-initrd')]
  try {
    await copyOut(bootKernel.kernel, kernel, parts)
    await copyOut(bootKernel.initrd, initrd, parts)
    const { code, stderr } = await run(
      ['kexec', '--kexec-file-syscall', '--load', kernel, `--initrd=${initrd}`, `--command-line=${bootKernel.args}`],
      { timeoutMs: TIMEOUT_MS },
    )
    return code === 0 ? { ready: true } : { ready: false, why: refusal(stderr) }
  } catch (error) {
    return { ready: false, why: `the kernel of the image could not be loaded: ${short((error as Error).message)}` }
  } finally {
    await Promise.all([rm(kernel, { force: true }), rm(initrd, { force: true })])
  }
}

/** Under Secure Boot the kernel of the ramdisk loads only what a key that it trusts has signed. */
function refusal(said: string): string {
  const why = short(said) || 'kexec said nothing'
  return /not permitted|Required key not available|Key was rejected|Bad message/i.test(said)
    ? `Secure Boot refused the kernel of the image: ${why}`
    : `the kernel of the image was not loaded: ${why}`
}

const short = (text: string): string => text.trim().replaceAll(/\s+/g, ' ').slice(0, MAX_WHY)

async function copyOut(file: BootFile, to: string, { disk, index }: LoadParts): Promise<void> {
  const hash = createHash('sha256')
  await writeFile(to, '')
  for (const { at, lengthBytes } of file.extents) {
    if (at + lengthBytes > index.sizeBytes) throw new Error('the image ends before its kernel')
    for (let done = 0; done < lengthBytes; done += PIECE_BYTES) {
      const bytes = Buffer.alloc(Math.min(PIECE_BYTES, lengthBytes - done))
      await disk.read(bytes, at + done)
      hash.update(bytes)
      await writeFile(to, bytes, { flag: 'a' })
    }
  }
  if (hash.digest('hex') !== file.sha256) throw new Error('its bytes are not those of the image')
}

/** Ends this system. Throws `agent.jump` when it does not. */
export async function jump(run: Run): Promise<never> {
  const { code, stderr } = await run(['kexec', '--exec'], { timeoutMs: TIMEOUT_MS })
  throw new Fault('agent.jump', `kexec ended with ${code}: ${short(stderr) || 'it said nothing'}`)
}
