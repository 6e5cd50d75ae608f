/** The processor architectures of servers, by the names that Ironic's cpu_arch has, and what others call them. */

export const ARCHITECTURES = ['x86_64', 'aarch64'] as const
export type Architecture = (typeof ARCHITECTURES)[number]

const NAMES: Readonly<Record<string, Architecture>> = {
  x86_64: 'x86_64',
  'x86-64': 'x86_64',
  amd64: 'x86_64',
  // Of Node.js.
  x64: 'x86_64',
  aarch64: 'aarch64',
  arm64: 'aarch64',
}

/** Undefined for what is none of them. */
export const architectureOf = (name: unknown): Architecture | undefined =>
  typeof name === 'string' && Object.hasOwn(NAMES, name.toLowerCase()) ? NAMES[name.toLowerCase()] : undefined

/** Debian's name. */
export const debianArchitecture = (arch: Architecture): 'amd64' | 'arm64' => (arch === 'x86_64' ? 'amd64' : 'arm64')
