/** Which modules a kernel finds before it has mounted its root: those in its initramfs, and those that are part of it.
 *  The archives came from anywhere: what is not understood, or has no end, is not known. */
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { piped } from '../kit/run.ts'
import { MAX_MODULE_NAME, MAX_MODULES } from './index.ts'

/** Unpacked. */
const MAX_BYTES = 2 * 1024 * 1024 * 1024
const MAX_ENTRIES = 200_000
const MAX_NAME_BYTES = 4096
const MAX_BUILTIN_BYTES = 1024 * 1024
/** Of kernels; there is one as a rule. */
const MAX_VERSIONS = 16
/** Of an entry: "newc", with a checksum or without, six characters and thirteen numbers of eight digits. */
const HEADER_BYTES = 110
const CPIO = /^07070[12]$/

/** By the first bytes of what they unpack (initramfs-tools and dracut write these). */
const FILTERS = [
  { magic: '1f8b', argv: ['gzip', '-dc'] },
  { magic: '28b52ffd', argv: ['zstd', '-dcq', '--memory=128MB'] },
  { magic: 'fd377a585a00', argv: ['xz', '-dc', '--memlimit-decompress=256MiB'] },
  { magic: '02214c18', argv: ['lz4', '-dc'] },
] as const

/** By the version of the kernel that it is for. */
class Found {
  readonly modules = new Map<string, Set<string>>()
  readonly builtin = new Map<string, string>()
  private count = 0

  addModule(version: string, name: string): void {
    this.count += 1
    if (this.count > MAX_MODULES) throw new Error('more modules than a kernel has')
    boundedSet(this.modules, version, (this.modules.get(version) ?? new Set()).add(name))
  }

  addBuiltin(version: string, text: string): void {
    boundedSet(this.builtin, version, text)
  }
}

function boundedSet<T>(map: Map<string, T>, version: string, value: T): void {
  map.set(version, value)
  if (map.size > MAX_VERSIONS) throw new Error('modules for too many kernels')
}

/** Sorted names as the kernel knows them, with underscores; undefined: not known. `version`: of the kernel; undefined
 *  where its image does not tell, and then there must be modules for one alone. */
export async function modulesIn(
  initrd: AsyncIterable<Buffer>,
  version: string | undefined,
): Promise<string[] | undefined> {
  const found = new Found()
  try {
    await readArchives(new Bytes(initrd), found)
  } catch {
    return undefined
  }
  const versions = [...found.builtin.keys()]
  const of = version ?? (versions.length === 1 ? versions[0] : undefined)
  // Without the list of what is built in, what is missing would not be known.
  if (of === undefined || versions.length === 0) return undefined
  const builtin = (found.builtin.get(of) ?? '').split('\n').flatMap((line) => moduleOf(line.trim()) ?? [])
  const names = [...new Set([...(found.modules.get(of) ?? []), ...builtin])].sort()
  return names.length > MAX_MODULES ? undefined : names
}

/** `kernel/drivers/nvme/host/nvme-core.ko.xz` is nvme_core. */
function moduleOf(path: string): string | undefined {
  // Anchored: the time must not grow with the square of a long line.
  const file = path.slice(path.lastIndexOf('/') + 1)
  const name = /^(.+)\.ko(?:\.(?:xz|gz|zst))?$/.exec(file)?.[1]?.replaceAll('-', '_')
  return name !== undefined && name.length <= MAX_MODULE_NAME ? name : undefined
}

/** Archives as they are, one after the other, and at most one that is compressed, which is the last. */
async function readArchives(bytes: Bytes, found: Found): Promise<void> {
  let entries = 0
  for (let start = await bytes.peek(6); start.length > 0; start = await bytes.peek(6)) {
    if (start[0] === 0) {
      bytes.skipZeros()
      continue
    }
    if (!CPIO.test(start.toString('latin1'))) return readPacked(bytes, start, found)
    entries += 1
    if (entries > MAX_ENTRIES) throw new Error('an archive without end')
    await readEntry(bytes, found)
  }
}

async function readPacked(bytes: Bytes, start: Buffer, found: Found): Promise<void> {
  const filter = FILTERS.find(({ magic }) => start.toString('hex').startsWith(magic))
  if (!filter || bytes.isUnpacked) throw new Error('not an archive that is known')
  const child = piped(filter.argv)
  const feeding = pipeline(Readable.from(bytes.rest()), child.stdin).catch(() => undefined)
  try {
    await readArchives(new Bytes(child.stdout as AsyncIterable<Buffer>, true), found)
    await child.done
  } finally {
    child.stop()
    await feeding
  }
}

async function readEntry(bytes: Bytes, found: Found): Promise<void> {
  const header = (await bytes.take(HEADER_BYTES)).toString('latin1')
  const field = (number: number) => {
    const digits = header.slice(6 + 8 * number, 14 + 8 * number)
    if (!/^[0-9a-fA-F]{8}$/.test(digits)) throw new Error('a header that is none')
    return Number.parseInt(digits, 16)
  }
  const [sizeBytes, nameBytes] = [field(6), field(11)]
  if (nameBytes > MAX_NAME_BYTES) throw new Error('a name that is too long')
  const [name = ''] = (await bytes.take(nameBytes)).toString('utf8').split('\0', 1)
  await bytes.skip(padding(HEADER_BYTES + nameBytes))
  const [, version, path] = /^\.?\/?(?:usr\/)?lib\/modules\/([^/]+)\/(.+)$/.exec(name) ?? []
  if (version !== undefined && path === 'modules.builtin' && sizeBytes <= MAX_BUILTIN_BYTES)
    found.addBuiltin(version, (await bytes.take(sizeBytes)).toString('utf8'))
  else {
    const module = path === undefined ? undefined : moduleOf(path)
    if (version !== undefined && module !== undefined) found.addModule(version, module)
    await bytes.skip(sizeBytes)
  }
  await bytes.skip(padding(sizeBytes))
}

const padding = (lengthBytes: number): number => (4 - (lengthBytes % 4)) % 4

/** A stream, read by lengths. Ends where it ends for `peek`; `take` and `skip` throw there, and beyond all bounds. */
class Bytes {
  readonly isUnpacked: boolean
  private readonly source: AsyncIterator<Buffer>
  private held: Buffer = Buffer.alloc(0)
  private readBytes = 0

  constructor(source: AsyncIterable<Buffer>, isUnpacked = false) {
    this.source = source[Symbol.asyncIterator]()
    this.isUnpacked = isUnpacked
  }

  /** What there is of so many bytes. */
  async peek(lengthBytes: number): Promise<Buffer> {
    while (this.held.length < lengthBytes && (await this.more()));
    return this.held.subarray(0, lengthBytes)
  }

  async take(lengthBytes: number): Promise<Buffer> {
    const bytes = await this.peek(lengthBytes)
    if (bytes.length < lengthBytes) throw new Error('the archive ends in the middle')
    this.held = this.held.subarray(lengthBytes)
    return bytes
  }

  async skip(lengthBytes: number): Promise<void> {
    let left = lengthBytes
    while (left > this.held.length) {
      left -= this.held.length
      this.held = Buffer.alloc(0)
      if (!(await this.more())) throw new Error('the archive ends in the middle')
    }
    this.held = this.held.subarray(left)
  }

  /** Of what is held, which begins with one. */
  skipZeros(): void {
    const end = this.held.findIndex((byte) => byte !== 0)
    this.held = end < 0 ? Buffer.alloc(0) : this.held.subarray(end)
  }

  async *rest(): AsyncGenerator<Buffer> {
    do {
      if (this.held.length > 0) yield this.held
      this.held = Buffer.alloc(0)
    } while (await this.more())
  }

  private async more(): Promise<boolean> {
    const { value, done } = await this.source.next()
    if (done) return false
    this.readBytes += (value as Buffer).length
    if (this.readBytes > MAX_BYTES) throw new Error('more than an initramfs')
    this.held = this.held.length === 0 ? (value as Buffer) : Buffer.concat([this.held, value as Buffer])
    return true
  }
}

/** Of a kernel for x86 (Documentation/arch/x86/boot.rst: "HdrS" at 0x202, the place of the text at 0x20e); undefined:
 *  it is another one. */
export function versionOf(head: Buffer): string | undefined {
  if (head.length < 0x210 || head.toString('latin1', 0x202, 0x206) !== 'HdrS') return undefined
  const at = head.readUInt16LE(0x20e) + 0x200
  const text = head.toString('latin1', at, at + 256)
  const version = /^([\w.+~-]+)[ \0]/.exec(text)?.[1]
  return at > 0x200 ? version : undefined
}
