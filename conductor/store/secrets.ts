/** BMC passwords at rest: AES-256-GCM under a key file of mode 0600. A sealed value says which form it has, so that the form can change. */
import { createCipheriv, createDecipheriv } from 'node:crypto'
import { chmod, readFile, stat, writeFile } from 'node:fs/promises'
import { Fault } from '../../kit/fault.ts'
import type { Random } from '../../kit/random.ts'

const PREFIX = 'sealed:v1:'
const KEY_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16

/** Keys of driver_info and instance_info whose values are secret. */
const SECRET = /password|passphrase|secret|hex_kg_key|token|private_key/i

export const isSecretKey = (key: string): boolean => SECRET.test(key)

export class Seal {
  private readonly key: Buffer
  private readonly random: Random

  constructor(key: Buffer, random: Random) {
    if (key.length !== KEY_BYTES) throw new Fault('secret.key', `the key has ${key.length} bytes instead of ${KEY_BYTES}`)
    this.key = key
    this.random = random
  }

  close(text: string, about: string): string {
    const nonce = this.random.bytes(NONCE_BYTES)
    const cipher = createCipheriv('aes-256-gcm', this.key, nonce).setAAD(Buffer.from(about))
    const body = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()])
    return PREFIX + Buffer.concat([nonce, cipher.getAuthTag(), body]).toString('base64')
  }

  /** `about` binds a value to its place, so that a sealed password cannot be moved to another node's record. */
  open(sealed: string, about: string): string {
    const bytes = Buffer.from(sealed.slice(PREFIX.length), 'base64')
    const decipher = createDecipheriv('aes-256-gcm', this.key, bytes.subarray(0, NONCE_BYTES)).setAAD(Buffer.from(about))
    decipher.setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES))
    try {
      return Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES + TAG_BYTES)), decipher.final()]).toString('utf8')
    } catch (error) {
      throw new Fault('secret.key', `a stored password of ${about} does not open with this key`, { cause: error })
    }
  }

  /** Seals or opens the secret values of an object, leaving all others. */
  closeAll = (values: Readonly<Record<string, unknown>>, about: string): Record<string, unknown> =>
    mapSecrets(values, (text) => (text.startsWith(PREFIX) ? text : this.close(text, about)))

  openAll = (values: Readonly<Record<string, unknown>>, about: string): Record<string, unknown> =>
    mapSecrets(values, (text) => (text.startsWith(PREFIX) ? this.open(text, about) : text))
}

function mapSecrets(values: Readonly<Record<string, unknown>>, change: (text: string) => string): Record<string, unknown> {
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [key, isSecretKey(key) && typeof value === 'string' ? change(value) : value]))
}

/** Reads the key, or makes it on the first start. Refuses a key that others can read. */
export async function loadSeal(path: string, random: Random): Promise<Seal> {
  const info = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw new Fault('secret.key', `cannot look at ${path}: ${error.message}`, { cause: error })
  })
  if (!info) {
    await writeFile(path, `${random.bytes(KEY_BYTES).toString('hex')}\n`, { mode: 0o600, flag: 'wx' })
    await chmod(path, 0o600)
  } else if ((info.mode & 0o077) !== 0) {
    throw new Fault('secret.key', `${path} can be read by others (mode ${(info.mode & 0o777).toString(8)}): chmod 600 it`)
  }
  return new Seal(Buffer.from((await readFile(path, 'utf8')).trim(), 'hex'), random)
}
