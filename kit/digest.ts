/** Digests of texts, for names that are the same whenever they are made of the same. */
import { createHash } from 'node:crypto'

export const sha256Hex = (text: string): string => createHash('sha256').update(text).digest('hex')
export const sha256 = (text: string): Buffer => createHash('sha256').update(text).digest()

/** The same for the same text (RFC 9562, version 8). */
export function uuidFrom(text: string): string {
  const hex = sha256Hex(text)
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}
