/** Secrets at rest: AES-256-GCM under a key file of mode 0600. Each secret is bound to its node and to its place in the
 *  record, and sealed ones are kept apart from the record, so that no value that a user can write is ever taken for a
 *  sealed one. */
import { createCipheriv, createDecipheriv } from 'node:crypto'
import { Fault } from '../../kit/fault.ts'
import { isPrivateFile, keyFile } from '../../kit/files.ts'
import type { Random } from '../../kit/random.ts'

const KEY_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16
/** Programs before the second form sealed texts in place, bound to the node alone. */
const FIRST_FORM = 'sealed:v1:'
const SECOND_FORM = 'sealed:v2:'

/** Keys whose values are secret, at any depth of driver_info and instance_info. */
const SECRET = /password|passphrase|secret|hex_kg_key|token|private_key/i

export const isSecretKey = (key: string): boolean => SECRET.test(key)

type Values = Readonly<Record<string, unknown>>

/** Sealed values by their path, each path as JSON. */
export type Sealed = Readonly<Record<string, string>>

export class Seal {
  private readonly key: Buffer
  private readonly random: Random

  constructor(key: Buffer, random: Random) {
    if (key.length !== KEY_BYTES)
      throw new Fault('secret.key', `the key has ${key.length} bytes instead of ${KEY_BYTES}`)
    this.key = key
    this.random = random
  }

  /** `place` binds what is sealed to where it stands: it opens nowhere else. */
  close(bytes: Uint8Array, place: string): Buffer {
    const nonce = this.random.bytes(NONCE_BYTES)
    const cipher = createCipheriv('aes-256-gcm', this.key, nonce).setAAD(Buffer.from(SECOND_FORM + place))
    const body = Buffer.concat([cipher.update(bytes), cipher.final()])
    return Buffer.concat([nonce, cipher.getAuthTag(), body])
  }

  open = (sealed: Uint8Array, place: string): Buffer => this.decipher(sealed, SECOND_FORM + place)

  /** Takes the secrets out of `values`: what is left, with null in their places, and each of them sealed. */
  take(values: Values, about: string): { rest: Values; sealed: Sealed } {
    if (!holdsSecret(values)) return { rest: values, sealed: {} }
    const sealed: Record<string, string> = {}
    const rest = walk(values, [], (value, path, key) => {
      if (key === undefined || !isSecretKey(key) || value === null || value === undefined) return undefined
      const at = JSON.stringify(path)
      sealed[at] = SECOND_FORM + this.close(Buffer.from(JSON.stringify(value)), `${about}:${at}`).toString('base64')
      return { becomes: null }
    })
    return { rest: rest as Values, sealed }
  }

  /** Puts them back into `rest`, which becomes the whole. Throws `secret.key` for one that does not open in its
   *  place. */
  restore(rest: Values, sealed: Sealed, about: string): Values {
    for (const [at, secret] of Object.entries(sealed)) {
      const bytes = Buffer.from(String(secret).slice(SECOND_FORM.length), 'base64')
      const value = JSON.parse(this.open(bytes, `${about}:${at}`).toString()) as unknown
      if (!putAt(rest, JSON.parse(at) as string[], value))
        throw new Fault('secret.key', `a secret of ${about} has lost its place`)
    }
    return rest
  }

  /** The values of a record of the first form: texts of the first level, each behind its prefix. */
  openFirstForm = (values: Values, about: string): Values =>
    Object.fromEntries(
      Object.entries(values).map(([key, value]) => [
        key,
        isSecretKey(key) && typeof value === 'string' && value.startsWith(FIRST_FORM)
          ? this.decipher(Buffer.from(value.slice(FIRST_FORM.length), 'base64'), about).toString()
          : value,
      ]),
    )

  /** Whether a value of the first form opens; undefined: it is none. */
  tryFirstForm(key: string, value: unknown, about: string): boolean | undefined {
    if (!isSecretKey(key) || typeof value !== 'string' || !value.startsWith(FIRST_FORM)) return undefined
    const bytes = Buffer.from(value.slice(FIRST_FORM.length), 'base64')
    if (bytes.length < NONCE_BYTES + TAG_BYTES) return undefined
    try {
      this.decipher(bytes, about)
      return true
    } catch {
      return false
    }
  }

  private decipher(sealed: Uint8Array, bound: string): Buffer {
    try {
      const decipher = createDecipheriv('aes-256-gcm', this.key, sealed.subarray(0, NONCE_BYTES)).setAAD(
        Buffer.from(bound),
      )
      decipher.setAuthTag(sealed.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES))
      return Buffer.concat([decipher.update(sealed.subarray(NONCE_BYTES + TAG_BYTES)), decipher.final()])
    } catch (error) {
      throw new Fault('secret.key', 'a stored secret does not open with this key, or does not belong where it stands', {
        cause: error,
      })
    }
  }
}

const isNested = (value: unknown): value is Record<string, unknown> => value !== null && typeof value === 'object'

function holdsSecret(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(holdsSecret)
  if (!isNested(value)) return false
  for (const key of Object.keys(value)) {
    const inner = value[key]
    if (inner !== null && inner !== undefined && (isSecretKey(key) || holdsSecret(inner))) return true
  }
  return false
}

/** Whether there is such a place. */
function putAt(values: unknown, path: readonly string[], value: unknown): boolean {
  let at = values
  for (const [i, key] of path.entries()) {
    if (!isNested(at) || !Object.hasOwn(at, key)) return false
    if (i === path.length - 1) at[key] = value
    else at = at[key]
  }
  return path.length > 0
}

type Change = (value: unknown, path: readonly string[], key: string | undefined) => { becomes: unknown } | undefined

/** A copy of nested objects and arrays, with what `change` makes of their values. */
function walk(value: unknown, path: readonly string[], change: Change): unknown {
  const inner = (key: string, item: unknown, own: string | undefined) => {
    const at = [...path, key]
    const changed = change(item, at, own)
    return changed ? changed.becomes : walk(item, at, change)
  }
  if (Array.isArray(value)) return value.map((item: unknown, i) => inner(String(i), item, undefined))
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, inner(key, item, key)]))
}

/** Reads the key, or makes it on the first start. Refuses a key that others can read. */
export async function loadSeal(path: string, random: Random): Promise<Seal> {
  await isPrivateFile(path)
  return new Seal(
    await keyFile(path, { lengthBytes: KEY_BYTES, make: () => random.bytes(KEY_BYTES), code: 'secret.key' }),
    random,
  )
}
