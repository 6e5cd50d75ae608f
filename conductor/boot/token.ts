/** Boot tokens: minted by the boot services for each script that they render, checked by the conductor. Both hold the key; neither asks the
 *  other, so that a node boots while the API restarts. Of all tokens of one boot, one can be traded, once. */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { Fault } from '../../kit/fault.ts'
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

/** Throws `agent.token` for anything that this conductor's boot services did not mint. Whether it is still good is for `step` to say. */
export function readToken(key: Buffer, text: string): BootToken {
  const match = /^([0-9a-f-]{36})\.(\d{1,9})\.(\d{1,15})\.([A-Za-z0-9_-]{43})$/.exec(text)
  const [, nodeUuid, generation, mintedMs, signature] = match ?? []
  if (!nodeUuid || !signature) throw new Fault('agent.token', 'the boot token is malformed')
  const good = sign(key, `${nodeUuid}.${generation}.${mintedMs}`)
  if (!timingSafeEqual(Buffer.from(good), Buffer.from(signature))) throw new Fault('agent.token', 'the boot token was not minted here')
  return { nodeUuid, generation: Number(generation), mintedMs: Number(mintedMs) }
}

const sign = (key: Buffer, body: string) => createHmac('sha256', key).update(body).digest('base64url')

/** Reads the key that both processes share, or makes it (mode 0600). */
export async function bootKey(path: string, random: Random): Promise<Buffer> {
  await writeFile(path, `${random.bytes(KEY_BYTES).toString('hex')}\n`, { mode: 0o600, flag: 'wx' }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error
  })
  return Buffer.from((await readFile(path, 'utf8')).trim(), 'hex')
}
