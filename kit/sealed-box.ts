/** A text for one reader, who is known by a public key: an ephemeral X25519 key (RFC 7748), HKDF-SHA256 (RFC 5869) over
 *  both public keys and what it is about, AES-256-GCM. Whoever seals needs no key of its own and cannot open it again.
 *  Node.js has no HPKE (RFC 9180), which does the same. */
import {
  createCipheriv,
  createDecipheriv,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject,
} from 'node:crypto'
import { Fault } from './fault.ts'

/** SubjectPublicKeyInfo of X25519 (RFC 8410) before the 32 bytes of the key. */
export const X25519_SPKI = Buffer.from('302a300506032b656e032100', 'hex')
const KEY_BYTES = 32
const TAG_BYTES = 16
/** Each key is used once. */
const NONCE = Buffer.alloc(12)

export const publicKeyOf = (raw: Buffer): KeyObject =>
  createPublicKey({ key: Buffer.concat([X25519_SPKI, raw]), format: 'der', type: 'spki' })
const rawOf = (key: KeyObject): Buffer => key.export({ type: 'spki', format: 'der' }).subarray(X25519_SPKI.length)

const keyFor = (shared: Buffer, parts: { ephemeral: Buffer; reader: Buffer; about: string }) =>
  Buffer.from(
    hkdfSync(
      'sha256',
      shared,
      Buffer.concat([parts.ephemeral, parts.reader]),
      `rackward sealed box 1 ${parts.about}`,
      KEY_BYTES,
    ),
  )

/** `publicKey`: raw, base64. `about` binds the box to its place: another place does not open it. Answers base64. */
export function sealBox(publicKey: string, text: string, about: string): string {
  const reader = Buffer.from(publicKey, 'base64')
  const pair = generateKeyPairSync('x25519')
  const ephemeral = rawOf(pair.publicKey)
  const shared = diffieHellman({ privateKey: pair.privateKey, publicKey: publicKeyOf(reader) })
  const cipher = createCipheriv('aes-256-gcm', keyFor(shared, { ephemeral, reader, about }), NONCE)
  const body = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()])
  return Buffer.concat([ephemeral, cipher.getAuthTag(), body]).toString('base64')
}

/** Throws `secret.key` for what was not sealed for this key and place, or was changed. */
export function openBox(privateKey: KeyObject, sealed: string, about: string): string {
  try {
    const bytes = Buffer.from(sealed, 'base64')
    const ephemeral = bytes.subarray(0, KEY_BYTES)
    const shared = diffieHellman({ privateKey, publicKey: publicKeyOf(ephemeral) })
    const decipher = createDecipheriv(
      'aes-256-gcm',
      keyFor(shared, { ephemeral, reader: rawOf(createPublicKey(privateKey)), about }),
      NONCE,
    )
    decipher.setAuthTag(bytes.subarray(KEY_BYTES, KEY_BYTES + TAG_BYTES))
    return Buffer.concat([decipher.update(bytes.subarray(KEY_BYTES + TAG_BYTES)), decipher.final()]).toString('utf8')
  } catch (error) {
    throw new Fault('secret.key', `what was sealed for ${about} does not open with this key`, { cause: error })
  }
}
