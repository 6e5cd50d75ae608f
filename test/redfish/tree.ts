/** The resources of a virtual BMC by path: families add theirs, extend those of others, and say which properties can be
 *  written (DSP0266, "Modifying resources"). */

import type { ServerResponse } from 'node:http'

export type Dict = Readonly<Record<string, unknown>>
export const isDict = (value: unknown): value is Dict =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

export const ROOT = '/redfish/v1'
/** Stands for the path of the system, which a test can move. */
export const SYSTEM = '{system}'
export const MANAGER = `${ROOT}/Managers/BMC`
export const CHASSIS = `${ROOT}/Chassis/1`

export interface Ask {
  readonly method: string
  /** Without a trailing slash and without the query. */
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  /** The JSON of the body; an empty object where there is none. */
  readonly body: Dict
  /** The body as it came: for uploads. */
  readonly bytes: Buffer
  readonly ifMatch: string | undefined
  /** What stands for `:name` in the pattern. */
  readonly params: Readonly<Record<string, string>>
}

export interface Answer {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  /** An object is sent as JSON, a text as it is. */
  readonly body?: unknown
  /** Instead: an answer that goes on. */
  readonly stream?: (response: ServerResponse) => void
}

/** An error answer: a message of the registry Base, or one with a registry of its own before it ("SYS.1.0.SYS410"). */
export interface Refusal {
  readonly status: number
  readonly id: string
  readonly args?: readonly string[]
  readonly text?: string
  readonly related?: readonly string[]
}
export const isRefusal = (value: unknown): value is Refusal => isDict(value) && typeof value.id === 'string'

export type Handler = (ask: Ask) => Outcome | Promise<Outcome>
export type Outcome = Answer | Refusal
/** Looks at the value of a property, and takes it or refuses. Checks everything before it changes anything. */
export type Writer = (value: unknown, ask: Ask) => Refusal | undefined | void | Promise<Refusal | undefined | void>

export interface Node {
  /** The body of the resource; undefined: there is none at this path now. */
  readonly get?: (params: Readonly<Record<string, string>>) => Dict | undefined
  readonly post?: Handler
  readonly delete?: Handler
  readonly put?: Handler
  /** Whole PATCH, instead of writers. */
  readonly patch?: Handler
}

interface Entry {
  readonly pattern: RegExp
  readonly node: Node
  readonly more: ((params: Readonly<Record<string, string>>) => Dict)[]
  readonly writers: Map<string, Writer>
}

export class Tree {
  private readonly entries = new Map<string, Entry>()

  /** `path` may begin with SYSTEM and hold `:name` segments. */
  add(path: string, node: Node): void {
    const entry = this.entry(path)
    this.entries.set(path, { ...entry, node: { ...entry.node, ...node } })
  }

  /** More properties of a resource, such as the link to one's own; objects are merged. */
  extend(path: string, more: (params: Readonly<Record<string, string>>) => Dict): void {
    this.entry(path).more.push(more)
  }

  /** A property that PATCH can change. */
  writable(path: string, property: string, writer: Writer): void {
    this.entry(path).writers.set(property, writer)
  }

  /** What stands at a path; undefined: nothing. */
  find(path: string): Found | undefined {
    for (const { pattern, node, more, writers } of this.entries.values()) {
      const match = pattern.exec(path)
      if (!match) continue
      const params = { ...match.groups }
      const body = node.get?.(params)
      const whole = body === undefined ? undefined : more.reduce((all, one) => merge(all, one(params)), body)
      if (whole === undefined && node.get && !node.post && !node.put) continue
      return { node, params, body: whole, writers }
    }
    return undefined
  }

  private entry(path: string): Entry {
    const found = this.entries.get(path)
    if (found) return found
    const entry = { pattern: patternOf(path), node: {}, more: [], writers: new Map<string, Writer>() }
    this.entries.set(path, entry)
    return entry
  }
}

export interface Found {
  readonly node: Node
  readonly params: Readonly<Record<string, string>>
  readonly body: Dict | undefined
  readonly writers: ReadonlyMap<string, Writer>
}

const patternOf = (path: string): RegExp =>
  new RegExp(`^${path.replace(/[.{}]/g, String.raw`\$&`).replace(/:(\w+)/g, '(?<$1>[^/]+)')}$`)

export const merge = (one: Dict, other: Dict): Dict =>
  Object.fromEntries(
    [...new Set([...Object.keys(one), ...Object.keys(other)])].map((key) => {
      const [a, b] = [one[key], other[key]]
      return [key, isDict(a) && isDict(b) ? merge(a, b) : key in other ? b : a]
    }),
  )

export const link = (path: string) => ({ '@odata.id': path })

/** Id and Name are required of every resource (DSP0266, "Required properties"). */
export const resource = (path: string, type: string, more: Dict): Dict => ({
  '@odata.id': path,
  '@odata.type': type,
  Id: path.split('/').at(-1) ?? '',
  Name: type.split('.').at(-1) ?? '',
  ...more,
})

export const collection = (path: string, type: string, paths: readonly string[]): Dict => ({
  '@odata.id': path,
  '@odata.type': type,
  Name: type.split('.').at(-1) ?? '',
  'Members@odata.count': paths.length,
  Members: paths.map((one) => link(one)),
})
