/** Digests of texts, for names that are the same whenever they are made of the same. */
import { createHash } from 'node:crypto'

export const sha256Hex = (text: string): string => createHash('sha256').update(text).digest('hex')
export const sha256 = (text: string): Buffer => createHash('sha256').update(text).digest()
