/** Boot tokens: minted by the boot services for each script that they render, checked by the conductor. Both hold the
 *  key; neither asks the other, so that a node boots while the API restarts. Of all tokens of one boot, one can be
 *  traded, once. */
import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto'
import { Fault } from '../../kit/fault.ts'
import { keyFile } from '../../kit/files.ts'
import type { Random } from '../../kit/random.ts'

export interface BootToken {
  readonly nodeUuid: string
  readonly generation: number
  readonly mintedMs: number
  /** The boot room that minted it, with a key of its own; absent: the conductor's boot services. */
  readonly room?: string
}

const KEY_BYTES = 32

/** `key`: of the boot room that the token names, if it names one. */
export const mintToken = (key: Buffer, { nodeUuid, generation, mintedMs, room }: BootToken): string => {
  const body = `${nodeUuid}.${generation}.${mintedMs}`
  return `${body}.${sign(key, body)}${room === undefined ? '' : `~${room}`}`
}

/** The key of a boot room: who takes it from there mints tokens of that room alone. */
export const roomKey = (key: Buffer, room: string): Buffer =>
  Buffer.from(hkdfSync('sha256', key, '', `boot room ${room}`, KEY_BYTES))

/** Throws `agent.token` for anything that neither this conductor's boot services nor one of its boot rooms minted.
 *  Whether it is still good is for `step` to say. */
export function readToken(key: Buffer, text: string): BootToken {
  const match = /^([0-9a-f-]{36})\.(\d{1,9})\.(\d{1,15})\.([A-Za-z0-9_-]{43})(?:~([a-z0-9-]{1,32}))?$/.exec(text)
  const [, nodeUuid, generation, mintedMs, signature, room] = match ?? []
  if (!nodeUuid || !signature) throw new Fault('agent.token', 'the boot token is malformed')
  const own = room === undefined ? key : roomKey(key, room)
  const good = sign(own, `${nodeUuid}.${generation}.${mintedMs}`)
  if (!timingSafeEqual(Buffer.from(good), Buffer.from(signature)))
    throw new Fault('agent.token', 'the boot token was not minted here')
  const token = { nodeUuid, generation: Number(generation), mintedMs: Number(mintedMs) }
  return room === undefined ? token : { ...token, room }
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
