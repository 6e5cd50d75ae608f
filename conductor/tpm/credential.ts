/** MakeCredential (TCG TPM 2.0 Library, part 1, section 24): a secret that only the TPM with this endorsement key
 *  opens, and only while it holds the key with this name. Pure but for the randomness that it is handed. */
import { constants, createCipheriv, createHmac, publicEncrypt, type KeyObject } from 'node:crypto'
import { Fault } from '../../kit/fault.ts'

const SEED_BYTES = 32
const AES_BYTES = 16
const HMAC_BYTES = 32

const sized = (bytes: Buffer): Buffer => Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes])

/** KDFa (part 1, 11.4.10.2) for keys of up to one digest. */
function deriveKey(
  seed: Buffer,
  use: { readonly label: string; readonly context: Buffer; readonly bytes: number },
): Buffer {
  const bits = Buffer.alloc(4)
  bits.writeUInt32BE(use.bytes * 8)
  const message = [Buffer.from([0, 0, 0, 1]), Buffer.from(`${use.label}\0`), use.context, bits]
  return createHmac('sha256', seed).update(Buffer.concat(message)).digest().subarray(0, use.bytes)
}

export interface Credential {
  /** TPMS_ID_OBJECT and the encrypted seed, without their sizes in front. */
  readonly credential: Buffer
  readonly secret: Buffer
}

/** Throws `tpm.quote` for a key that nothing can be encrypted with. */
export function makeCredential(
  ek: KeyObject,
  akName: Buffer,
  given: { readonly secret: Buffer; readonly random: (bytes: number) => Buffer },
): Credential {
  const seed = given.random(SEED_BYTES)
  const secret = encryptSeed(ek, seed)
  const aes = deriveKey(seed, { label: 'STORAGE', context: akName, bytes: AES_BYTES })
  const cipher = createCipheriv('aes-128-cfb', aes, Buffer.alloc(AES_BYTES))
  const identity = Buffer.concat([cipher.update(sized(given.secret)), cipher.final()])
  const hmac = deriveKey(seed, { label: 'INTEGRITY', context: Buffer.alloc(0), bytes: HMAC_BYTES })
  const integrity = createHmac('sha256', hmac).update(identity).update(akName).digest()
  return { credential: Buffer.concat([sized(integrity), identity]), secret }
}

/** A modulus is a number that a stranger says: one that is even, or too small, is none. */
function encryptSeed(key: KeyObject, seed: Buffer): Buffer {
  const [oaepLabel, padding] = [Buffer.from('IDENTITY\0'), constants.RSA_PKCS1_OAEP_PADDING]
  try {
    return publicEncrypt({ key, oaepHash: 'sha256', oaepLabel, padding }, seed)
  } catch (error) {
    throw new Fault('tpm.quote', 'the endorsement key: it is no RSA key', { cause: error })
  }
}
