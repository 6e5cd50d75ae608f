/** Reads bytes that came from elsewhere, in order and never beyond their end. TPMs write big-endian, firmware
 *  little-endian. */
import { Fault, type FaultCode } from '../../kit/fault.ts'

export class Reader {
  private readonly bytes: Buffer
  private readonly about: { readonly code: FaultCode; readonly what: string }
  private offset = 0

  /** `about`: the fault for bytes that are missing, and what they would have been part of. */
  constructor(bytes: Buffer, about: { readonly code: FaultCode; readonly what: string }) {
    this.bytes = bytes
    this.about = about
  }

  get at(): number {
    return this.offset
  }

  get isAtEnd(): boolean {
    return this.offset >= this.bytes.length
  }

  take(size: number): Buffer {
    if (size > this.bytes.length - this.offset)
      throw this.fault(
        `it ends at byte ${this.bytes.length}, where ${this.offset + size - this.bytes.length} more belong`,
      )
    this.offset += size
    return this.bytes.subarray(this.offset - size, this.offset)
  }

  u8 = (): number => this.take(1).readUInt8(0)
  u16 = (): number => this.take(2).readUInt16BE(0)
  u32 = (): number => this.take(4).readUInt32BE(0)
  u16le = (): number => this.take(2).readUInt16LE(0)
  u32le = (): number => this.take(4).readUInt32LE(0)
  /** Bytes behind their size (TPM2B). */
  sized = (): Buffer => this.take(this.u16())

  fault = (why: string): Fault => new Fault(this.about.code, `${this.about.what}: ${why}`)

  /** Throws where something follows. */
  end(): void {
    if (!this.isAtEnd) throw this.fault(`${this.bytes.length - this.offset} bytes follow its end`)
  }
}
