/** One unit of a rack file, whose values are taken one by one; what nobody takes is told at the end. Pure. */
import type { ExportedFile } from '../export.ts'

type Plain = Readonly<Record<string, unknown>>

/** Maps whose keys stand for themselves. */
const MAPS = ['driver_info', 'properties', 'capabilities', 'root_device', 'extra']

export interface UnitPort {
  readonly address: string
  /** Ironic boots from a port of which nothing is said. */
  readonly pxe: boolean
}

export class ExportUnit {
  readonly name: string
  /** Undefined: it stands in none. */
  readonly rack: string | undefined
  /** `driver_info/ipmi_port` and the like; whole values but for the maps above. */
  private readonly left = new Map<string, unknown>()
  private readonly images: ExportedFile['images']
  private readonly say: (line: string) => void

  constructor(
    unit: Plain,
    about: { rack: string | undefined; images: ExportedFile['images']; say: (line: string) => void },
  ) {
    this.name = String(unit.name)
    this.rack = about.rack
    this.images = about.images
    this.say = (line) => about.say(`${this.name}: ${line}`)
    for (const [key, value] of Object.entries(unit)) if (key !== 'name') this.put(key, value)
  }

  private put(key: string, value: unknown): void {
    if (key === 'properties/capabilities' && typeof value === 'string') {
      for (const pair of value.split(',')) {
        const [name = '', ...rest] = pair.split(':')
        this.left.set(`capabilities/${name}`, rest.join(':'))
      }
    } else if (key === 'properties/root_device' && isMap(value)) this.put('root_device', value)
    else if (MAPS.includes(key) && isMap(value))
      for (const [inner, one] of Object.entries(value)) this.put(`${key}/${inner}`, one)
    else this.left.set(key, unescaped(value))
  }

  /** Undefined: it is not there, or `accepts` refuses it; then it is told at the end. */
  take<T>(key: string, accepts: (value: unknown) => T | undefined): T | undefined {
    const value = this.left.get(key)
    const taken = value === undefined ? undefined : accepts(value)
    if (taken !== undefined) this.left.delete(key)
    return taken
  }

  text = (key: string): string | undefined => this.take(key, (value) => (typeof value === 'string' ? value : undefined))
  /** Above zero. */
  count = (key: string): number | undefined =>
    this.take(key, (value) => (/^[1-9]\d{0,11}$/.test(String(value)) ? Number(value) : undefined))
  flag = (key: string): boolean | undefined =>
    this.take(key, (value) => (['true', 'false'].includes(String(value)) ? String(value) === 'true' : undefined))

  keys = (pattern: RegExp): string[] => [...this.left.keys()].filter((key) => pattern.test(key))

  /** Whether the BMC has a password. Its value is in no rack file, and thus in nothing that is made of one. */
  password(prefix: string): boolean {
    const key = `${prefix}_password`
    if (!this.left.delete(`driver_info/${key}`)) return false
    this.say(`driver_info/${key} is not written into files; set it there`)
    return true
  }

  ports(): UnitPort[] {
    return (
      this.take('ports', (value) => {
        if (!Array.isArray(value)) return undefined
        return value.map((port: Plain | string) => {
          if (typeof port === 'string') return { address: port, pxe: true }
          const { address, pxe_enabled: pxe = true, ...rest } = port
          for (const key of Object.keys(rest)) this.lost(`ports/${String(address)}/${key}`)
          return { address: String(address), pxe: pxe === true }
        })
      }) ?? []
    )
  }

  /** By URL and digest: another program does not know the names of our store. */
  image(): { url: string; algorithm: 'sha256' | 'sha512'; digest: string } | undefined {
    return this.take('image', (value) => {
      const { url, sha256, sha512 } = (typeof value === 'string' ? this.images[value] : undefined) ?? {}
      const digest = sha256 ?? sha512
      if (url === undefined || digest === undefined) return undefined
      return { url, algorithm: sha256 === undefined ? 'sha512' : 'sha256', digest }
    })
  }

  lost = (key: string, why = 'has no equal there'): void => this.say(`${key} ${why}`)

  /** Tells of all that was not taken. */
  rest(): void {
    for (const key of this.left.keys()) this.lost(key)
    this.left.clear()
  }
}

const isMap = (value: unknown): value is Plain => typeof value === 'object' && value !== null && !Array.isArray(value)

/** What a rack file would fill in is written twice in it. */
function unescaped(value: unknown): unknown {
  if (typeof value === 'string') return value.replaceAll('{{', '{').replaceAll('}}', '}')
  if (Array.isArray(value)) return value.map(unescaped)
  return isMap(value) ? Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, unescaped(inner)])) : value
}

/** `https://host:port` in its parts; undefined: it is none. */
export function endpointOf(address: string): { scheme: string; host: string; port: string | undefined } | undefined {
  const [, scheme, host, port] =
    /^(https?):\/\/(\[[0-9a-f:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?\/?$/i.exec(address) ?? []
  return scheme === undefined || host === undefined ? undefined : { scheme: scheme.toLowerCase(), host, port }
}
