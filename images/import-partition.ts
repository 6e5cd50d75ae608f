/** Takes a partition image with its kernel and its ramdisk into the store, as one whole disk: from then on it is
 *  served, compared, shared and proven as every other image. */
import { rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { isoTime, systemClock } from '../kit/clock.ts'
import { Fault } from '../kit/fault.ts'
import { ImportBudget, type Claim } from './budget.ts'
import { checkFile, type Checksum } from './checksum.ts'
import { fetchSource, fullDisk, type ImportRequest, type ImportTools } from './import.ts'
import type { ImageIndex } from './index.ts'
import { checkKernel, makePartitionDisk } from './partition-disk.ts'
import { cutPieces } from './pieces.ts'
import { diskLoader } from './signed-loader.ts'
import { checkImageName, type ImageStore } from './store.ts'
import { rootVolumeOf, storedBytes } from './unpack.ts'
import type { Work } from './work.ts'

/** Where a part is, and how it may be fetched from there. */
export interface PartitionFile extends Pick<ImportRequest, 'source' | 'headers' | 'ca'> {
  readonly checksum: Checksum
  readonly tools: Pick<ImportTools, 'guard' | 'noRedirects'>
}

export interface PartitionRequest {
  readonly name: string
  readonly image: PartitionFile
  readonly kernel: PartitionFile
  readonly ramdisk: PartitionFile
  /** Directory of the signed loaders. */
  readonly loaders: string
  /** Whether the disk starts by BIOS as well. */
  readonly bios: boolean
  /** The id that the image must have: it replaces a damaged copy. */
  readonly sameAs?: string | undefined
  /** Limit of `limits.images.bootFileBytes`. */
  readonly bootFileBytes: number
}

export async function importPartition(
  store: ImageStore,
  request: PartitionRequest,
  { clock = systemClock, ...tools }: Pick<ImportTools, 'clock' | 'budget' | 'signal'> = {},
): Promise<ImageIndex> {
  checkImageName(request.name)
  const budget = tools.budget ?? new ImportBudget({}, clock)
  return budget.run(tools.signal, async (signal) => {
    const scratch = await store.scratch()
    const claim = budget.claim(scratch)
    const work = { scratch, claim, signal, clock, budget }
    try {
      return await importInto(store, request, work)
    } catch (error) {
      throw fullDisk(error, scratch)
    } finally {
      claim.release()
      await rm(scratch, { recursive: true, force: true })
    }
  })
}

type Shared = Pick<Work, 'scratch' | 'signal' | 'clock' | 'budget'> & { readonly claim: Claim }

async function importInto(store: ImageStore, request: PartitionRequest, shared: Shared): Promise<ImageIndex> {
  const { scratch, claim, signal, clock } = shared
  const fetched = async (part: 'image' | 'kernel' | 'ramdisk') => {
    const { source, checksum, headers, ca, tools } = request[part]
    const work: Work = { ...shared, headers, ca, guard: tools.guard, noRedirects: tools.noRedirects, copies: 2 }
    const file = await fetchSource(source, join(scratch, part === 'image' ? 'source' : part), work)
    if (part !== 'image' && (await stat(file)).size > request.bootFileBytes)
      throw new Fault(
        'image.source',
        `instance_info/${part} has more than ${request.bootFileBytes} bytes (limits.images.bootFileBytes)`,
      )
    await checkFile(file, { checksum, what: source, signal })
    return { file, work }
  }
  // The small ones first: what is no kernel costs no fetch of the image.
  const kernel = await fetched('kernel')
  const { signed: signedKernel } = await checkKernel(kernel.file)
  const ramdisk = await fetched('ramdisk')
  const image = await fetched('image')
  const { volume, fileSystem } = await rootVolumeOf(image.file, image.work)
  const bootBytes = (await stat(kernel.file)).size + (await stat(ramdisk.file)).size
  await claim.grow(2 * (await storedBytes(volume)) + 3 * bootBytes)
  const disk = join(scratch, 'disk')
  const { loaders, bios } = request
  const files = { volume, kernel: kernel.file, ramdisk: ramdisk.file, loaders, bios }
  await makePartitionDisk(disk, scratch, { ...files, rootUuid: fileSystem.uuid, signal })
  for (const file of ['source', 'unwrapped', 'copy', 'raw', 'kernel', 'ramdisk'])
    await rm(join(scratch, file), { force: true })
  const { signed: signedShim, architecture } = await diskLoader(disk)
  const cut = await cutPieces({
    rawPath: disk,
    dataPath: join(scratch, 'data.zst'),
    signal,
    onWritten: (bytes) => claim.wrote(bytes),
  })
  await rm(disk)
  if (request.sameAs !== undefined && cut.id !== request.sameAs)
    throw new Fault('image.source', `${request.name}: its parts make another image now than the one in the store`)
  return store.add(scratch, {
    ...cut,
    names: [request.name],
    createdAt: isoTime(clock.now()),
    // GRUB starts no kernel without a signature where Secure Boot is on.
    ...(signedShim === undefined ? {} : { signedLoader: signedShim && signedKernel }),
    ...(architecture ? { architecture } : {}),
  })
}
