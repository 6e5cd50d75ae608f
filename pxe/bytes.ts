/** A bounded cursor: the only way that this room reads bytes. */

/** A packet that is not what its protocol says; names the field and the offset. */
export class WireError extends Error {
  override readonly name = 'WireError'
}

export class Reader {
  private readonly bytes: Buffer
  private at = 0

  constructor(bytes: Buffer) {
    this.bytes = bytes
  }

  get left(): number {
    return this.bytes.length - this.at
  }

  take(count: number, field: string): Buffer {
    if (count > this.left)
      throw new WireError(`${field}: needs ${count} bytes at offset ${this.at}, ${this.left} are left`)
    const taken = this.bytes.subarray(this.at, this.at + count)
    this.at += count
    return taken
  }

  u8(field: string): number {
    return this.take(1, field).readUInt8(0)
  }

  u16(field: string): number {
    return this.take(2, field).readUInt16BE(0)
  }

  u32(field: string): number {
    return this.take(4, field).readUInt32BE(0)
  }

  /** Text up to a zero byte, which is taken too. */
  textZ(field: string): string {
    const end = this.bytes.indexOf(0, this.at)
    if (end < 0) throw new WireError(`${field}: no zero byte ends the text at offset ${this.at}`)
    const text = this.take(end - this.at, field).toString('latin1')
    this.at += 1
    return text
  }
}
