/** The secrets and images of a rack file that is made: each image stands there once, and each secret has a variable of
 *  its own. */

/** Names come from others: `constructor` is one like any other. */
export const emptyRecord = <T>(): Record<string, T> => Object.create(null) as Record<string, T>

export class SharedParts {
  readonly secrets = emptyRecord<{ env: string }>()
  readonly images = emptyRecord<Readonly<Record<string, string>>>()
  private readonly variables = new Set<string>()
  private readonly known = new Map<string, string>()

  /** Answers the name. */
  secret(name: string): string {
    this.secrets[name] ??= { env: this.freeVariable(name) }
    return name
  }

  /** Answers its name. */
  image(spec: Readonly<Record<string, string>>): string {
    const text = JSON.stringify(spec)
    const name = this.known.get(text) ?? `image-${this.known.size + 1}`
    this.known.set(text, name)
    this.images[name] = spec
    return name
  }

  /** `a.b` and `a-b` would have one. */
  private freeVariable(secret: string): string {
    const name = `RACKWARD_${secret.toUpperCase().replace(/[^A-Z0-9]/g, '_')}`.slice(0, 240)
    let free = name
    for (let i = 2; this.variables.has(free); i += 1) free = `${name}_${i}`
    this.variables.add(free)
    return free
  }
}
