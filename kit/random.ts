/** Randomness as a value that is handed in. Tokens and keys come from the kernel's generator. */
import { randomBytes, randomUUID } from 'node:crypto'

export interface Random {
  bytes(count: number): Buffer
  uuid(): string
}

export const systemRandom: Random = { bytes: (count) => randomBytes(count), uuid: () => randomUUID() }
