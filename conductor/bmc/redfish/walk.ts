/** Reads linked resources of a Redfish service, one turn each, up to a number: a service that lists without end costs a
 *  bounded time. */
import { printable } from '../../../kit/text.ts'
import type { Health, Turn } from '../parts/inventory.ts'
import { isDict, linkOf, type Dict, type RedfishClient } from './client.ts'
import { isOfResource, restOf } from './links.ts'

/** Resources that one walk reads, and members of one collection. */
const MAX_READS = 512
/** Bytes of all their answers: to parse them keeps the conductor from everything else. */
const MAX_BYTES = 16 * 1024 * 1024
const MAX_MEMBERS = 128

export class Walk {
  private readonly client: RedfishClient
  private readonly turn: Turn
  private reads = 0
  private sizeBytes = 0
  /** Resources that were linked and could not be read, or were too many. */
  unread = 0

  constructor(client: RedfishClient, turn: Turn) {
    this.client = client
    this.turn = turn
  }

  /** The resource behind a link: undefined when there is no link, or the BMC does not give what it links. Throws when
   *  the BMC itself does not answer. */
  async follow(link: unknown): Promise<Dict | undefined> {
    const path = linkOf(link)
    if (path === null) return undefined
    if (this.reads >= MAX_READS || this.sizeBytes >= MAX_BYTES) {
      this.unread += 1
      return undefined
    }
    this.reads += 1
    try {
      const { body, sizeBytes } = await this.turn((signal) => this.client.get(path, signal))
      this.sizeBytes += sizeBytes
      return body
    } catch (error) {
      if (!isOfResource(error)) throw error
      this.unread += 1
      return undefined
    }
  }

  /** The members of a linked collection; expanded ones are taken as they are. */
  async members(link: unknown): Promise<readonly Dict[]> {
    const first = await this.follow(link)
    return first ? this.all(await this.pages(first)) : []
  }

  /** The members of a collection that was read, over all its pages. */
  async pages(first: Dict): Promise<readonly unknown[]> {
    const read = async (path: string) => ({ body: (await this.follow({ '@odata.id': path })) ?? {} })
    return restOf(read, first, MAX_MEMBERS)
  }

  /** The resources of a list of links. */
  async all(list: unknown): Promise<readonly Dict[]> {
    const links = Array.isArray(list) ? list : []
    this.unread += Math.max(0, links.length - MAX_MEMBERS)
    const found: Dict[] = []
    for (const link of links.slice(0, MAX_MEMBERS)) {
      const isWhole = isDict(link) && Object.keys(link).length > 1
      const one = isWhole ? link : await this.follow(link)
      if (one && stateOf(one) !== 'Absent') found.push(one)
    }
    return found
  }
}

export const stateOf = (body: Dict): string | null =>
  isDict(body.Status) && typeof body.Status.State === 'string' ? body.Status.State : null

/** Health of a resource, with that of what belongs to it where the BMC rolls it up. */
export function healthOf(body: Dict): Health | null {
  const status = isDict(body.Status) ? body.Status : {}
  const worst = [status.HealthRollup, status.Health].filter(isHealth).sort((a, b) => RANK[b] - RANK[a])
  return worst[0] ?? null
}

const RANK: Readonly<Record<Health, number>> = { OK: 0, Warning: 1, Critical: 2 }
const isHealth = (value: unknown): value is Health => typeof value === 'string' && Object.hasOwn(RANK, value)

const MAX_TEXT = 256
/** A text of the BMC in one bounded line; null when it is none, or empty. */
export function lineOf(value: unknown, maxLength = MAX_TEXT): string | null {
  const line = typeof value === 'string' ? printable(value, maxLength).trim() : ''
  return line === '' ? null : line
}

/** A number that counts something; null for anything else. */
export const countOf = (value: unknown): number | null =>
  typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : null
