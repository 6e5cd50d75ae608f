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
type BootKernel = NonNullable<ImageIndex['bootKernel']>
type BootFile = BootKernel['kernel']

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
  /** The modules that drive the disk, as far as this kernel has them as modules. */
  readonly drivers: readonly string[]
}

/** Reads the kernel and its initramfs from the disk, before the file systems of the image are grown, which may move its
 *  files. The answer, once they are in memory, is the loading, which goes on beside other work and never throws: what
 *  keeps the kernel from being loaded costs a jump, not the deploy. */
export async function takeKernel(parts: LoadParts): Promise<{ readonly loading: Promise<JumpReady> }> {
  const taken = await copyBoth(parts)
  return { loading: 'ready' in taken ? Promise.resolve(taken) : load(taken, parts) }
}

interface Taken {
  readonly kernel: string
  readonly initrd: string
  readonly args: string
}

async function copyBoth(parts: LoadParts): Promise<Taken | JumpReady> {
  const { index, scratch } = parts
  const { bootKernel } = index
  if (!bootKernel) return { ready: false, why: 'no kernel is known of the image' }
  const missing = missingDrivers(bootKernel, parts.drivers)
  if (missing.length > 0)
    return {
      ready: false,
      code: 'jump.driver',
      why: `the kernel of the image and its initramfs have no module for the root disk: ${missing.join(', ')}`,
    }
  const [kernel, initrd] = [join(scratch, 'image-kernel'), join(scratch, 'image-initrd')]
  try {
    await copyOut(bootKernel.kernel, kernel, parts)
    await copyOut(bootKernel.initrd, initrd, parts)
    return { kernel, initrd, args: bootKernel.args }
  } catch (error) {
    await remove(kernel, initrd)
    return notLoaded(error)
  }
}

async function load({ kernel, initrd, args }: Taken, { run }: LoadParts): Promise<JumpReady> {
  try {
    const { code, stderr } = await run(
      ['kexec', '--kexec-file-syscall', '--load', kernel, `--initrd=${initrd}`, `--command-line=${args}`],
      { timeoutMs: TIMEOUT_MS },
    )
    return code === 0 ? { ready: true } : { ready: false, code: 'jump.refused', why: refusal(stderr) }
  } catch (error) {
    return notLoaded(error)
  } finally {
    await remove(kernel, initrd)
  }
}

const notLoaded = (error: unknown): JumpReady => ({
  ready: false,
  code: 'jump.refused',
  why: `the kernel of the image could not be loaded: ${short((error as Error).message)}`,
})

const remove = (...paths: string[]) => Promise.all(paths.map((path) => rm(path, { force: true })))

/** Images that were imported by an older program do not say what their kernels have. */
const missingDrivers = ({ modules }: Pick<BootKernel, 'modules'>, drivers: readonly string[]): string[] =>
  modules === undefined ? [] : drivers.filter((name) => !modules.includes(name))

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
