/** Boot tokens: minted by the boot services for each script that they render, checked by the conductor. Both hold the
 *  key; neither asks the other, so that a node boots while the API restarts. Of all tokens of one boot, one can be
 *  traded, once. */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { Fault } from '../../kit/fault.ts'
import { keyFile } from '../../kit/files.ts'
import type { Random } from '../../kit/random.ts'

export interface BootToken {
  readonly nodeUuid: string
  readonly generation: number
  readonly mintedMs: number
}

const KEY_BYTES = 32

export const mintToken = (key: Buffer, token: BootToken): string => {
  const body = `${token.nodeUuid}.${token.generation}.${token.mintedMs}`
  return `${body}.${sign(key, body)}`
}

/** Throws `agent.token` for anything that this conductor's boot services did not mint. Whether it is still good is for
 *  `step` to say. */
export function readToken(key: Buffer, text: string): BootToken {
  const match = /^([0-9a-f-]{36})\.(\d{1,9})\.(\d{1,15})\.([A-Za-z0-9_-]{43})$/.exec(text)
  const [, nodeUuid, generation, mintedMs, signature] = match ?? []
  if (!nodeUuid || !signature) throw new Fault('agent.token', 'the boot token is malformed')
  const good = sign(key, `${nodeUuid}.${generation}.${mintedMs}`)
  if (!timingSafeEqual(Buffer.from(good), Buffer.from(signature)))
    throw new Fault('agent.token', 'the boot token was not minted here')
  return { nodeUuid, generation: Number(generation), mintedMs: Number(mintedMs) }
}

/** Names the boot ISO of one boot of a node in its URL: nobody can guess it, and both processes find it by
 *  themselves. */
export const mediaName = (key: Buffer, boot: { readonly nodeUuid: string; readonly generation: number }): string =>
  sign(key, `media ${boot.nodeUuid}.${boot.generation}`)

const sign = (key: Buffer, body: string) => createHmac('sha256', key).update(body).digest('base64url')

/** The key that both processes share, made on first use (mode 0600). Throws `key.broken` for a file that holds anything
 *  else than 32 bytes: with a shorter key, anybody could mint tokens. */
export const bootKey = (path: string, random: Random): Promise<Buffer> =>
  keyFile(path, { lengthBytes: KEY_BYTES, make: () => random.bytes(KEY_BYTES), code: 'key.broken' })
