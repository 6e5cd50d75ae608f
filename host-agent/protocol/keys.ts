/** Who is who in the mesh. Every node has an X25519 key; two nodes share a secret that nobody else can compute, so a
 *  stolen host can speak for itself alone. */
import {
  createHmac,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  timingSafeEqual,
  type KeyObject,
} from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { isPrivateFile, writeWhole } from '../../kit/files.ts'
import { openBox, publicKeyOf, X25519_SPKI } from '../../kit/sealed-box.ts'

const MAC_BYTES = 16

export class Identity {
  readonly name: string
  readonly publicKey: string
  private readonly privateKey: KeyObject
  /** Peer's public key -> the shared secret. */
  private readonly secrets = new Map<string, Buffer>()

  constructor(name: string, privateKey: KeyObject) {
    this.name = name
    this.privateKey = privateKey
    this.publicKey = createPublicKey(privateKey)
      .export({ type: 'spki', format: 'der' })
      .subarray(X25519_SPKI.length)
      .toString('base64')
  }

  /** RFC 7748, then HKDF-SHA256 (RFC 5869). */
  private secretWith(peerKey: string): Buffer {
    let secret = this.secrets.get(peerKey)
    if (!secret) {
      const shared = diffieHellman({
        privateKey: this.privateKey,
        publicKey: publicKeyOf(Buffer.from(peerKey, 'base64')),
      })
      secret = Buffer.from(hkdfSync('sha256', shared, Buffer.alloc(0), 'rackward mesh 1', 32))
      this.secrets.set(peerKey, secret)
    }
    return secret
  }

  /** The code covers whom it is for, so that a message cannot be turned round. */
  seal(message: Buffer, peer: { name: string; publicKey: string }): Buffer {
    return Buffer.concat([message, this.mac(message, peer.name, peer.publicKey)])
  }

  /** The message without its code, or undefined when it is not `peer`'s for us. */
  open(sealed: Buffer, peer: { publicKey: string }): Buffer | undefined {
    if (sealed.length < MAC_BYTES) return undefined
    const message = sealed.subarray(0, sealed.length - MAC_BYTES)
    return timingSafeEqual(this.mac(message, this.name, peer.publicKey), sealed.subarray(message.length))
      ? message
      : undefined
  }

  private mac(message: Buffer, to: string, peerKey: string): Buffer {
    return createHmac('sha256', this.secretWith(peerKey))
      .update(to)
      .update('\0')
      .update(message)
      .digest()
      .subarray(0, MAC_BYTES)
  }

  /** What was sealed for this node (kit/sealed-box). Throws `secret.key`. */
  openBox(sealed: string, about: string): string {
    return openBox(this.privateKey, sealed, about)
  }

  pem(): string {
    return this.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  }
}

export const identityFrom = (name: string, pem: string): Identity => new Identity(name, createPrivateKey(pem))
export const newIdentity = (name: string): Identity => new Identity(name, generateKeyPairSync('x25519').privateKey)

/** Reads the key, or makes it on the first start. Refuses one that others can read. */
export async function loadIdentity(path: string, name: string): Promise<Identity> {
  if (!(await isPrivateFile(path))) {
    const identity = newIdentity(name)
    await writeWhole(path, identity.pem())
    return identity
  }
  return identityFrom(name, await readFile(path, 'utf8'))
}
