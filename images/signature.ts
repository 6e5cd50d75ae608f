/** Signed images: a statement of what an image is (its id, its pieces, its bill of materials), and an Ed25519
 *  signature of it. Both stand beside the index, whose names may change. */
import { createHash, createPrivateKey, createPublicKey, sign, verify, type KeyObject } from 'node:crypto'
import * as z from 'zod/mini'
import { Fault } from '../kit/fault.ts'
import type { ImageIndex } from './index.ts'

const Hex = z.string().check(z.regex(/^[0-9a-f]{64}$/))

export const Statement = z.strictObject({
  kind: z.literal('rackward image 1'),
  /** SHA-256 of the raw image. */
  id: Hex,
  sizeBytes: z.int().check(z.positive()),
  pieceBytes: z.int().check(z.positive()),
  /** SHA-256 of the SHA-256s of all pieces, in their order. */
  pieces: Hex,
  /** Of the recipe that made it. */
  recipe: z.string().check(z.maxLength(200)),
  /** SHA-256 of its bill of materials. */
  sbom: z.nullable(Hex),
})
export type Statement = z.infer<typeof Statement>

export const Signed = z.strictObject({
  /** The very text that was signed. */
  statement: z.string().check(z.maxLength(4_096)),
  /** SHA-256 of the public key (DER, SPKI). */
  key: Hex,
  signature: z.string().check(z.maxLength(200)),
})
export type Signed = z.infer<typeof Signed>

const sha256 = (data: string | Buffer) => createHash('sha256').update(data).digest('hex')

export function statementOf(
  image: Pick<ImageIndex, 'id' | 'sizeBytes' | 'pieceBytes' | 'pieces'>,
  { recipe, sbom }: { recipe: string; sbom: string | undefined },
): Statement {
  const { id, sizeBytes, pieceBytes } = image
  const pieces = sha256(Buffer.concat(image.pieces.map((piece) => Buffer.from(piece.sha256, 'hex'))))
  return {
    kind: 'rackward image 1',
    id,
    sizeBytes,
    pieceBytes,
    pieces,
    recipe,
    sbom: sbom === undefined ? null : sha256(sbom),
  }
}

const keyId = (key: KeyObject): string => sha256(key.export({ type: 'spki', format: 'der' }))

/** A key of PEM. Throws `input.invalid` for anything but Ed25519; nothing of the text stands in the fault. */
function ed25519(make: () => KeyObject, what: string): KeyObject {
  try {
    const key = make()
    if (key.asymmetricKeyType === 'ed25519') return key
  } catch (error) {
    throw new Fault('input.invalid', `${what} is no key in PEM (openssl genpkey -algorithm ed25519)`, { cause: error })
  }
  throw new Fault('input.invalid', `${what} is no Ed25519 key (openssl genpkey -algorithm ed25519)`)
}

export function signStatement(statement: Statement, privatePem: string): Signed {
  const key = ed25519(() => createPrivateKey(privatePem), '--sign-key')
  const text = JSON.stringify(statement)
  return {
    statement: text,
    key: keyId(createPublicKey(key)),
    signature: sign(null, Buffer.from(text), key).toString('base64'),
  }
}

/** Why an image is not what a holder of one of these keys signed; undefined: it is. */
export function signatureFlaw(
  image: Pick<ImageIndex, 'id' | 'sizeBytes' | 'pieceBytes' | 'pieces'>,
  { signed, sbom, publicPems }: { signed: unknown; sbom: string | undefined; publicPems: readonly string[] },
): string | undefined {
  const parsed = Signed.safeParse(signed)
  if (!parsed.success) return signed === undefined ? 'it is not signed' : 'its signature cannot be read'
  const { statement: text, key: id, signature } = parsed.data
  const keys = publicPems.map((pem) => ed25519(() => createPublicKey(pem), 'the public key'))
  const key = keys.find((one) => keyId(one) === id)
  if (!key) return `it is signed by another key (${id.slice(0, 16)})`
  if (!verify(null, Buffer.from(text), key, Buffer.from(signature, 'base64'))) return 'its signature is wrong'
  const said = Statement.safeParse(jsonOf(text))
  if (!said.success) return 'what was signed is no statement of an image'
  const is = statementOf(image, { recipe: said.data.recipe, sbom })
  const other = (Object.keys(is) as (keyof Statement)[]).find((field) => is[field] !== said.data[field])
  return other === undefined ? undefined : `its ${other} is not the one that was signed`
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
