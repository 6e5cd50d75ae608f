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
  /** SHA-256 of the SHA-256s of all pieces, in their order, each with a byte that tells whether it is all zeros. */
  pieces: Hex,
  /** SHA-256 of what the index says of how the image is started and grown. */
  boot: Hex,
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

/** Of an index: what the signature covers. */
export type SignedFields = Pick<ImageIndex, 'id' | 'sizeBytes' | 'pieceBytes' | 'pieces' | (typeof BOOT_FIELDS)[number]>
const BOOT_FIELDS = ['osType', 'architecture', 'efiLoader', 'signedLoader', 'bootKernel', 'grow'] as const

const sha256 = (data: string | Buffer) => createHash('sha256').update(data).digest('hex')

export function statementOf(
  image: SignedFields,
  { recipe, sbom }: { recipe: string; sbom: string | undefined },
): Statement {
  const { id, sizeBytes, pieceBytes } = image
  const bytes = image.pieces.flatMap((piece) => [Buffer.from(piece.sha256, 'hex'), Buffer.of(piece.zero ? 1 : 0)])
  const boot = JSON.stringify(BOOT_FIELDS.map((field) => sorted(image[field])))
  return {
    kind: 'rackward image 1',
    id,
    sizeBytes,
    pieceBytes,
    pieces: sha256(Buffer.concat(bytes)),
    boot: sha256(boot),
    recipe,
    sbom: sbom === undefined ? null : sha256(sbom),
  }
}

/** The order of keys in a file means nothing. */
const sorted = (value: unknown): unknown =>
  Array.isArray(value)
    ? value.map(sorted)
    : value !== null && typeof value === 'object'
      ? Object.fromEntries(
          Object.entries(value)
            .toSorted(([a], [b]) => (a < b ? -1 : 1))
            .map(([key, inner]) => [key, sorted(inner)]),
        )
      : (value ?? null)

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

/** The id of a public key in PEM. Throws `input.invalid` for anything else. */
export function publicKeyId(publicPem: string): string {
  if (/PRIVATE KEY/.test(publicPem))
    throw new Fault('input.invalid', 'the key is a private one (openssl pkey -pubout makes its public key)')
  return keyId(ed25519(() => createPublicKey(publicPem), 'the public key'))
}

export const checkSignKey = (privatePem: string): KeyObject => ed25519(() => createPrivateKey(privatePem), '--sign-key')

export function signStatement(statement: Statement, privatePem: string): Signed {
  const key = checkSignKey(privatePem)
  const text = JSON.stringify(statement)
  return {
    statement: text,
    key: keyId(createPublicKey(key)),
    signature: sign(null, Buffer.from(text), key).toString('base64'),
  }
}

/** The id of the key that something says it is signed with; undefined: it says none. */
export const keyOf = (signed: unknown): string | undefined => Signed.safeParse(signed).data?.key

/** The recipe that a signature names; undefined: it names none that can be read. */
export function recipeOf(signature: string | undefined): string | undefined {
  const signed = Signed.safeParse(jsonOf(signature ?? '')).data
  return signed && Statement.safeParse(jsonOf(signed.statement)).data?.recipe
}

/** Why an image is not what a holder of one of these keys signed; undefined: it is. */
export function signatureFlaw(
  image: SignedFields,
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
