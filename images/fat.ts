/** Reads the beginning of a file of a FAT file system (Microsoft FAT specification 1.03; 12, 16 and 32 bits) inside a
 *  disk image. Everything is bounded: the image may be hostile. */

/** Reads bytes of the image; fewer at its end. */
export type ReadAt = (at: number, lengthBytes: number) => Promise<Buffer>

interface Volume {
  readonly read: ReadAt
  readonly bits: 12 | 16 | 32
  readonly clusterBytes: number
  readonly fatAt: number
  readonly rootAt: number
  /** Of the fixed root directory of FAT12 and FAT16; 0 on FAT32. */
  readonly rootBytes: number
  readonly rootCluster: number
  readonly dataAt: number
  readonly clusters: number
}

const ENTRY_BYTES = 32
const [LONG_NAME, IS_LABEL, IS_DIRECTORY] = [0x0f, 0x08, 0x10]
/** Directories of an ESP have a few dozen entries. */
const MAX_DIRECTORY_BYTES = 256 * 1024

/** The first `lengthBytes` of the file at a path of 8.3 names, with its size, and where its first
 *  cluster lies; undefined: there is no such file, or no FAT. */
export async function readFatFile(
  read: ReadAt,
  at: number,
  { path, lengthBytes }: { readonly path: readonly string[]; readonly lengthBytes: number },
): Promise<{ readonly bytes: Buffer; readonly sizeBytes: number; readonly at: number } | undefined> {
  const volume = await volumeAt(read, at)
  if (!volume) return undefined
  let directory = await rootOf(volume)
  for (const [depth, name] of path.entries()) {
    const entry = find(directory, name)
    const isLast = depth === path.length - 1
    if (!entry || entry.isDirectory === isLast) return undefined
    if (isLast) {
      const bytes = await chain(volume, entry.cluster, Math.min(entry.sizeBytes, lengthBytes))
      return { bytes, sizeBytes: entry.sizeBytes, at: placeOf(volume, entry.cluster) }
    }
    directory = await chain(volume, entry.cluster, MAX_DIRECTORY_BYTES)
  }
  return undefined
}

async function volumeAt(read: ReadAt, at: number): Promise<Volume | undefined> {
  const head = await read(at, 512)
  if (head.length < 512 || head.readUInt16LE(510) !== 0xaa55) return undefined
  const sectorBytes = head.readUInt16LE(11)
  const clusterBytes = sectorBytes * head.readUInt8(13)
  const isSize = [512, 1024, 2048, 4096].includes(sectorBytes) && clusterBytes > 0 && clusterBytes <= 65_536
  const fats = head.readUInt8(16)
  const shortFatSectors = head.readUInt16LE(22)
  const fatSectors = shortFatSectors || head.readUInt32LE(36)
  if (!isSize || fats === 0 || fatSectors === 0) return undefined

  const rootBytes = head.readUInt16LE(17) * ENTRY_BYTES
  const fatAt = head.readUInt16LE(14) * sectorBytes
  const rootAt = fatAt + fats * fatSectors * sectorBytes
  const dataAt = rootAt + Math.ceil(rootBytes / sectorBytes) * sectorBytes
  const sizeBytes = (head.readUInt16LE(19) || head.readUInt32LE(32)) * sectorBytes
  const clusters = Math.floor((sizeBytes - dataAt) / clusterBytes)
  if (clusters <= 0) return undefined
  return {
    read,
    // Firmware and Linux tell FAT32 by this field; many an ESP of 32 bits has fewer clusters than the specification
    // wants.
    bits: shortFatSectors === 0 ? 32 : clusters < 4_085 ? 12 : 16,
    clusterBytes,
    fatAt: at + fatAt,
    rootAt: at + rootAt,
    rootBytes,
    rootCluster: head.readUInt32LE(44),
    dataAt: at + dataAt,
    clusters,
  }
}

const rootOf = (volume: Volume): Promise<Buffer> =>
  volume.bits === 32
    ? chain(volume, volume.rootCluster, MAX_DIRECTORY_BYTES)
    : volume.read(volume.rootAt, Math.min(volume.rootBytes, MAX_DIRECTORY_BYTES))

/** Up to so many bytes of a chain of clusters. */
async function chain(volume: Volume, first: number, lengthBytes: number): Promise<Buffer> {
  const parts: Buffer[] = []
  let left = lengthBytes
  for (let cluster = first; left > 0 && isCluster(volume, cluster); cluster = await next(volume, cluster)) {
    const take = Math.min(left, volume.clusterBytes)
    parts.push(await volume.read(placeOf(volume, cluster), take))
    left -= take
  }
  return Buffer.concat(parts)
}

const placeOf = ({ dataAt, clusterBytes }: Volume, cluster: number): number => dataAt + (cluster - 2) * clusterBytes

const isCluster = ({ clusters }: Volume, cluster: number): boolean => cluster >= 2 && cluster < clusters + 2

/** The entry of the table; 0 ends every chain. */
async function next({ read, fatAt, bits }: Volume, cluster: number): Promise<number> {
  const bytes = await read(fatAt + Math.floor((cluster * bits) / 8), 4)
  if (bytes.length < 4) return 0
  if (bits === 32) return bytes.readUInt32LE(0) & 0x0fffffff
  const entry = bytes.readUInt16LE(0)
  if (bits === 16) return entry
  return cluster % 2 === 0 ? entry & 0xfff : entry >> 4
}

interface Entry {
  readonly isDirectory: boolean
  readonly cluster: number
  readonly sizeBytes: number
}

function find(directory: Buffer, name: string): Entry | undefined {
  const wanted = shortName(name)
  if (wanted === undefined) return undefined
  for (let at = 0; at + ENTRY_BYTES <= directory.length; at += ENTRY_BYTES) {
    const entry = directory.subarray(at, at + ENTRY_BYTES)
    if (entry[0] === 0) return undefined
    const attributes = entry.readUInt8(11)
    if ((attributes & LONG_NAME) === LONG_NAME || (attributes & IS_LABEL) !== 0) continue
    if (entry.toString('latin1', 0, 11) !== wanted) continue
    return {
      isDirectory: (attributes & IS_DIRECTORY) !== 0,
      cluster: (entry.readUInt16LE(20) << 16) | entry.readUInt16LE(26),
      sizeBytes: entry.readUInt32LE(28),
    }
  }
  return undefined
}

/** As it stands in a directory: "BOOTX64 EFI". */
function shortName(name: string): string | undefined {
  const [, base, extension = ''] = /^([A-Za-z0-9_-]{1,8})(?:\.([A-Za-z0-9_-]{1,3}))?$/.exec(name) ?? []
  return base === undefined ? undefined : (base.padEnd(8) + extension.padEnd(3)).toUpperCase()
}
