/** Which Debian images there are to build, and what an order for one means. Pure. */
import type { Architecture } from '../../kit/architecture.ts'
import { Fault } from '../../kit/fault.ts'

export const SUITES = { 'debian-12': 'bookworm', 'debian-13': 'trixie' } as const
export type DebianName = keyof typeof SUITES
export type Suite = (typeof SUITES)[DebianName]

export interface DebianRecipe {
  readonly suite: Suite
  readonly hardened: boolean
  /** Beside those of every image, sorted. */
  readonly packages: readonly string[]
}

export interface DebianOrder {
  readonly recipe: DebianRecipe
  /** With the agent and Consul. */
  readonly mesh: boolean
  /** Of the image in the store. */
  readonly name: string
}

/** As Debian's policy (5.6.7) has it, but for a dash at the end: apt takes that for an order to remove the package. */
const PACKAGE = /^[a-z0-9][a-z0-9+.-]*[a-z0-9+.]$/
const MAX_PACKAGES = 500
const MESH = '-mesh'

export const PLAIN: DebianRecipe = { suite: 'bookworm', hardened: false, packages: [] }

/** Undefined: it is no recipe of Debian. Throws `input.invalid` for a package that is none. */
export function debianOrder(
  name: string,
  options: {
    readonly packages?: string | undefined
    readonly hardened?: boolean | undefined
    readonly mesh?: boolean | undefined
    readonly name?: string | undefined
  },
  architecture: Architecture,
): DebianOrder | undefined {
  const base = name.endsWith(MESH) ? name.slice(0, -MESH.length) : name
  if (!Object.hasOwn(SUITES, base)) return undefined
  const hardened = options.hardened ?? false
  const mesh = (options.mesh ?? false) || base !== name
  const parts = [
    base,
    ...(mesh ? ['mesh'] : []),
    ...(hardened ? ['hardened'] : []),
    ...(architecture === 'x86_64' ? [] : ['arm64']),
  ]
  const packages = packagesIn(options.packages ?? '')
  return {
    recipe: { suite: SUITES[base as DebianName], hardened, packages },
    mesh,
    name: options.name ?? parts.join('-'),
  }
}

function packagesIn(text: string): string[] {
  const names = [...new Set(text.split(/[\s,]+/).filter(Boolean))].toSorted()
  const bad = names.find((name) => !PACKAGE.test(name))
  if (bad !== undefined)
    throw new Fault('input.invalid', `--packages: ${JSON.stringify(bad.slice(0, 100))} is no name of a Debian package`)
  if (names.length > MAX_PACKAGES) throw new Fault('input.invalid', `--packages: more than ${MAX_PACKAGES}`)
  return names
}
