/** Random numbers with a seed, so that a finding can be made again; and what is done to bytes with them. */

export class SeededRandom {
  private state: number

  constructor(seed: number) {
    this.state = (seed ^ 0x9e3779b9) >>> 0 || 1
  }

  /** mulberry32: 32 bits of state, a period of 2^32. */
  next(): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0
    let t = this.state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return (t ^ (t >>> 14)) >>> 0
  }

  /** 0 to below `limit`. */
  below(limit: number): number {
    return Math.floor((this.next() / 2 ** 32) * limit)
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T
  }

  bytes(length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length)
    for (let i = 0; i < length; i += 1) bytes[i] = this.next() >>> 24
    return bytes
  }
}

/** Lengths and values at which decoders err. */
const EDGES = [0, 1, 2, 3, 4, 6, 16, 17, 82, 127, 128, 254, 255]

/** One of the samples after one to four changes, cut off anywhere, or bytes of no meaning at all. `headBytes`: most
 *  changes come after them, because whoever breaks the head is sent away before the rest is read. */
export function mutated(random: SeededRandom, samples: readonly Buffer[], headBytes = 0): Buffer {
  const sort = random.below(32)
  if (sort === 0) return random.bytes(random.below(600))
  const sample = random.pick(samples)
  if (sort === 1) return sample.subarray(0, random.below(sample.length + 1))
  const head = sort < 8 ? 0 : Math.min(headBytes, sample.length)
  let rest = Buffer.from(sample.subarray(head))
  for (let changes = 1 + random.below(4); changes > 0; changes -= 1) rest = changed(random, rest, { samples, head })
  return head === 0 ? rest : Buffer.concat([sample.subarray(0, head), rest])
}

function changed(
  random: SeededRandom,
  bytes: Buffer<ArrayBuffer>,
  { samples, head }: { samples: readonly Buffer[]; head: number },
): Buffer<ArrayBuffer> {
  const at = random.below(bytes.length + 1)
  switch (random.below(7)) {
    case 0:
      bytes[at] = random.next() & 255
      return bytes
    case 1:
      bytes[at] = random.pick(EDGES)
      return bytes
    case 2:
      bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8))
      return bytes
    case 3:
      return bytes.subarray(0, at)
    case 4: {
      // The end of another one.
      const other = random.pick(samples).subarray(head)
      return Buffer.concat([bytes.subarray(0, at), other.subarray(random.below(other.length + 1))])
    }
    case 5:
      return Buffer.concat([bytes.subarray(0, at), random.bytes(random.below(16)), bytes.subarray(at)])
    default: {
      const end = at + random.below(32)
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(end)])
    }
  }
}
