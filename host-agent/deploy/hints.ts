/** Root device hints (Ironic): which disk takes the image. Pure. */
import type { Disk } from '../../conductor/api/agent-wire.ts'
import { Fault } from '../../kit/fault.ts'

const GIB = 1024 ** 3
/** Smaller disks are USB sticks and SD cards that a BMC shows (Ironic's limit). */
const MIN_ROOT_BYTES = 4 * GIB

const VALUES: Record<string, (disk: Disk) => string | number | boolean | null> = {
  model: (disk) => disk.model,
  vendor: (disk) => disk.vendor,
  serial: (disk) => disk.serial,
  wwn: (disk) => disk.wwn,
  hctl: (disk) => disk.hctl,
  by_path: (disk) => disk.byPath,
  name: (disk) => disk.name,
  volume_name: (disk) => disk.volumeName ?? null,
  tran: (disk) => disk.transport,
  rotational: (disk) => disk.rotational,
  size: (disk) => Math.floor(disk.sizeBytes / GIB),
}
export const HINT_KEYS = Object.keys(VALUES)

/** The one disk for an image of `imageBytes`. Throws deploy.hints, deploy.ambiguous, deploy.too-small or
 *  deploy.no-disk. */
export function chooseRootDisk(
  disks: readonly Disk[],
  hints: Readonly<Record<string, unknown>> | null,
  imageBytes: number,
): Disk {
  const writable = disks.filter((disk) => !disk.readOnly)
  const hinted = hints !== null && Object.keys(hints).length > 0
  const candidates = hinted
    ? writable.filter((disk) => matches(disk, hints))
    : writable.filter((disk) => disk.sizeBytes >= MIN_ROOT_BYTES)
  if (candidates.length === 0) {
    if (hinted) throw new Fault('deploy.hints', `none of ${describe(writable)} matches ${JSON.stringify(hints)}`)
    throw new Fault('deploy.no-disk', `none of ${describe(writable)} has the 4 GiB that a root disk needs`)
  }
  const bySize = [...candidates].sort((a, b) => a.sizeBytes - b.sizeBytes || a.name.localeCompare(b.name))
  const fitting = bySize.filter((disk) => disk.sizeBytes >= imageBytes)
  const [first, second] = fitting
  if (!first)
    throw new Fault(
      'deploy.too-small',
      `the image needs ${imageBytes} bytes with its config drive; there is ${describe(bySize)}`,
    )
  // Without hints the smallest is meant, by name where two are equal. With hints, two equal disks mean that the hints
  // do not say enough.
  if (hinted && second && second.sizeBytes === first.sizeBytes)
    throw new Fault('deploy.ambiguous', `${describe(fitting)} match ${JSON.stringify(hints)} equally`)
  return first
}

/** True when every hint holds. Throws `deploy.hints` for a hint that is not known. */
export function matches(disk: Disk, hints: Readonly<Record<string, unknown>>): boolean {
  return Object.entries(hints).every(([key, wanted]) => {
    const read = Object.hasOwn(VALUES, key) ? VALUES[key] : undefined
    if (!read)
      throw new Fault(
        'deploy.hints',
        `${JSON.stringify(key)} is not a root device hint; known are ${HINT_KEYS.join(', ')}`,
      )
    const value = read(disk)
    return value !== null && holds(value, wanted)
  })
}

function holds(value: string | number | boolean, wanted: unknown): boolean {
  if (typeof value === 'boolean') return value === (wanted === true || String(wanted).toLowerCase() === 'true')
  if (typeof value === 'number') return compareNumber(value, String(wanted))
  return compareText(value.toLowerCase(), decode(String(wanted)).toLowerCase())
}

/** Hints are URL-encoded where they hold blanks; one that only looks so is taken as it is. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

function compareNumber(value: number, wanted: string): boolean {
  const match = /^\s*(==|=|!=|>=|<=|>|<)?\s*(\d+)\s*$/.exec(wanted)
  if (!match) {
    const options = splitOr(wanted)
    return options !== undefined && options.some((option) => Number(option) === value)
  }
  const other = Number(match[2])
  switch (match[1]) {
    case '!=':
      return value !== other
    case '>=':
      return value >= other
    case '<=':
      return value <= other
    case '>':
      return value > other
    case '<':
      return value < other
    default:
      return value === other
  }
}

function compareText(value: string, wanted: string): boolean {
  const options = splitOr(wanted)
  if (options) return options.includes(value)
  const all = /^\s*<all-in>\s*(.*)$/.exec(wanted)?.[1]
  if (all !== undefined)
    return all
      .split(/\s*<all-in>\s*|\s+/)
      .filter(Boolean)
      .every((part) => value.includes(part))
  const part = /^\s*<in>\s*(.*?)\s*$/.exec(wanted)?.[1]
  if (part !== undefined) return value.includes(part)
  const match = /^\s*(s==|s!=|s>=|s<=|s>|s<|==|=|!=)?\s*(.*?)\s*$/s.exec(wanted)
  const other = match?.[2] ?? wanted
  switch (match?.[1]) {
    case 's!=':
    case '!=':
      return value !== other
    case 's>=':
      return value >= other
    case 's<=':
      return value <= other
    case 's>':
      return value > other
    case 's<':
      return value < other
    default:
      return value === other
  }
}

const splitOr = (text: string): string[] | undefined =>
  /^\s*<or>/.test(text)
    ? text
        .split('<or>')
        .map((part) => part.trim())
        .filter((part) => part !== '')
    : undefined

const describe = (disks: readonly Disk[]): string =>
  disks.length === 0
    ? 'no disks'
    : disks
        .map((disk) => `${disk.name} (${Math.floor(disk.sizeBytes / GIB)} GiB, serial ${disk.serial ?? 'unknown'})`)
        .join(', ')
