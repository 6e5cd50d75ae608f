/** Where an image came from, kept beside its index, so that a damaged copy can be fetched again. Nothing secret stands
 *  in it: a source whose URL may hold a password or a signature is not kept. */
import * as z from 'zod/mini'
import { isAbsolute } from 'node:path'
import type { Checksum } from './checksum.ts'

export const ImageOrigin = z.object({
  source: z.string(),
  checksum: z.optional(z.object({ algo: z.enum(['sha256', 'sha512']), hex: z.string() })),
  format: z.optional(z.enum(['raw', 'qcow2'])),
})
export type ImageOrigin = z.infer<typeof ImageOrigin>

export function originOf(request: {
  readonly source: string
  readonly checksum?: Checksum | undefined
  readonly format?: 'raw' | 'qcow2' | undefined
}): ImageOrigin | undefined {
  const { source, checksum, format } = request
  const kept = { source, ...(checksum ? { checksum } : {}), ...(format ? { format } : {}) }
  if (isAbsolute(source)) return kept
  if (!URL.canParse(source)) return undefined
  const { username, password, search } = new URL(source)
  return username !== '' || password !== '' || search !== '' ? undefined : kept
}
