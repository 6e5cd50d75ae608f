/** The definitions of domains on shared storage: one file each, written whole and renamed, the newest generation
 *  wins. */
import { mkdir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { XMLParser } from 'fast-xml-parser'
import * as z from 'zod/mini'
import { writeWhole } from '../../../kit/files.ts'

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i

const Shape = z.object({
  uuid: z.string().check(z.regex(UUID)),
  name: z.string().check(z.maxLength(255)),
  /** Who may run it. */
  host: z.string(),
  generation: z.int().check(z.minimum(1)),
  /** Of the evacuation that moved it here. */
  token: z.nullable(z.string()),
  /** A live migration that was begun: until it is known how it ended, it may run there. */
  migratingTo: z.optional(z.nullable(z.string())),
  running: z.boolean(),
  xml: z.string(),
  priority: z.number(),
  memoryMb: z.number(),
  group: z.nullable(z.string()),
  unprotected: z.nullable(z.string()),
})
export type DomainRecord = z.infer<typeof Shape>

export class DomainStore {
  private readonly directory: string

  constructor(directory: string) {
    this.directory = directory
  }

  async get(uuid: string): Promise<DomainRecord | undefined> {
    if (!UUID.test(uuid)) return undefined
    const text = await readFile(join(this.directory, 'domains', `${uuid}.json`), 'utf8').catch(
      (error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return undefined
        throw error
      },
    )
    return text === undefined ? undefined : Shape.parse(JSON.parse(text))
  }

  async all(): Promise<DomainRecord[]> {
    const names = await readdir(join(this.directory, 'domains')).catch(() => [])
    const records = await Promise.all(
      names.filter((name) => name.endsWith('.json')).map((name) => this.get(name.slice(0, -5))),
    )
    return records.filter((record) => record !== undefined)
  }

  /** Hosts that export, by the files that say so. */
  async hosts(): Promise<string[]> {
    return (await readdir(join(this.directory, 'hosts')).catch(() => [])).filter((name) => !name.endsWith('.new'))
  }

  async addHost(host: string): Promise<void> {
    await this.write(join('hosts', host), '')
  }

  async put(record: DomainRecord): Promise<void> {
    await this.write(join('domains', `${record.uuid}.json`), JSON.stringify(record))
  }

  /** The definition as a file for virsh, which opens its argument by name (a socket as standard input it cannot). */
  async definition(record: Pick<DomainRecord, 'uuid' | 'xml'>): Promise<string> {
    const name = join('domains', `${record.uuid}.xml`)
    await this.write(name, record.xml)
    return join(this.directory, name)
  }

  private async write(name: string, text: string): Promise<void> {
    const path = join(this.directory, name)
    await mkdir(join(path, '..'), { recursive: true, mode: 0o700 })
    await writeWhole(path, text)
  }
}

interface Dict {
  readonly [key: string]: unknown
}
const parser = new XMLParser({
  ignoreAttributes: false,
  attributeNamePrefix: '@',
  removeNSPrefix: true,
  parseTagValue: false,
  isArray: (name) => ['disk', 'hostdev', 'tpm'].includes(name),
})

/** What a definition says that matters for moving it. `shared`: prefixes of paths that every host has. */
export function readDomain(
  xml: string,
  shared: readonly string[],
): Pick<DomainRecord, 'name' | 'uuid' | 'priority' | 'memoryMb' | 'group' | 'unprotected'> {
  const { domain } = parser.parse(xml) as { domain: Dict }
  const at = (value: unknown, ...keys: string[]): unknown =>
    keys.reduce<unknown>((one, key) => (one as Dict | undefined)?.[key], value)
  const metadata = (at(domain, 'metadata', 'instance') ?? {}) as Dict
  const text = (value: unknown) =>
    typeof value === 'string'
      ? value
      : typeof value === 'object' && value !== null
        ? String((value as Dict)['#text'] ?? '')
        : ''
  const unit =
    { b: 1 / 1024, KiB: 1, k: 1, MiB: 1024, M: 1024, GiB: 1024 ** 2, G: 1024 ** 2 }[
      String(at(domain, 'memory', '@unit') ?? 'KiB')
    ] ?? 1
  const memoryMb = Math.round((Number(text(domain.memory)) * unit) / 1024)
  const priority = Number(metadata['@priority'] ?? 0)
  return {
    name: text(domain.name),
    uuid: text(domain.uuid),
    priority: Number.isFinite(priority) ? priority : 0,
    memoryMb: Number.isFinite(memoryMb) ? memoryMb : 0,
    group: typeof metadata['@group'] === 'string' ? metadata['@group'] : null,
    unprotected: whyNot(domain, metadata, { shared, at }),
  }
}

function whyNot(
  domain: Dict,
  metadata: Dict,
  { shared, at }: { shared: readonly string[]; at: (value: unknown, ...keys: string[]) => unknown },
): string | null {
  if (metadata['@evacuate'] === 'no') return 'its metadata says evacuate="no"'
  const isShared = (path: unknown) =>
    typeof path === 'string' &&
    shared.some((prefix) => path === prefix || path.startsWith(`${prefix.replace(/\/$/, '')}/`))
  for (const disk of (at(domain, 'devices', 'disk') ?? []) as Dict[]) {
    const path = at(disk, 'source', '@file') ?? at(disk, 'source', '@dev')
    if (path !== undefined && !isShared(path)) return `its disk ${String(path)} is not on shared storage`
  }
  const nvram = at(domain, 'os', 'nvram')
  const nvramPath = typeof nvram === 'object' ? (nvram as Dict)['#text'] : nvram
  if (nvramPath !== undefined && !isShared(nvramPath)) return 'its NVRAM is not on shared storage'
  if (at(domain, 'devices', 'hostdev')) return 'it has a device of its host'
  if (((at(domain, 'devices', 'tpm') ?? []) as Dict[]).some((tpm) => at(tpm, 'backend', '@type') === 'emulator'))
    return 'the state of its TPM is on its host'
  return null
}
