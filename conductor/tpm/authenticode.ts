/** The digest of an EFI program as firmware measures and verifies it: without its checksum and its signatures
 *  (Windows Authenticode Portable Executable Signature Format, "Calculating the PE Image Hash"). Pure. */
import { createHash } from 'node:crypto'

const PE_AT = 0x3c
const COFF_BYTES = 24
const SECTION_BYTES = 40
const CHECKSUM_AT = 64
const PE32_PLUS = 0x20b
/** Of the directory of signatures, in the optional header. */
const SECURITY_AT = { pe32: 128, pe32Plus: 144 } as const
const DIRECTORY_BYTES = 8
const MAX_SECTIONS = 96

/** Undefined: the file is no PE program. */
export function authenticodeDigest(file: Buffer): Buffer | undefined {
  try {
    return digestOf(file)
  } catch (error) {
    // What its headers name lies outside of it.
    if (error instanceof RangeError) return undefined
    throw error
  }
}

function digestOf(file: Buffer): Buffer | undefined {
  if (file.toString('latin1', 0, 2) !== 'MZ') return undefined
  const pe = file.readUInt32LE(PE_AT)
  if (file.toString('latin1', pe, pe + 4) !== 'PE\0\0') return undefined
  const sections = file.readUInt16LE(pe + 6)
  const optionalBytes = file.readUInt16LE(pe + 20)
  const optional = pe + COFF_BYTES
  const isPlus = file.readUInt16LE(optional) === PE32_PLUS
  const headersBytes = file.readUInt32LE(optional + 60)
  const security = optional + (isPlus ? SECURITY_AT.pe32Plus : SECURITY_AT.pe32)
  const signaturesBytes = file.readUInt32LE(security + 4)
  if (sections > MAX_SECTIONS || headersBytes > file.length || security + DIRECTORY_BYTES > headersBytes)
    return undefined

  const hash = createHash('sha256')
  hash.update(file.subarray(0, optional + CHECKSUM_AT))
  hash.update(file.subarray(optional + CHECKSUM_AT + 4, security))
  hash.update(file.subarray(security + DIRECTORY_BYTES, headersBytes))
  let hashedBytes = headersBytes
  for (const { at, bytes } of sectionsOf(file, { at: optional + optionalBytes, count: sections })) {
    hash.update(file.subarray(at, at + bytes))
    hashedBytes += bytes
  }
  const restEnd = file.length - signaturesBytes
  if (restEnd > hashedBytes) hash.update(file.subarray(hashedBytes, restEnd))
  return hash.digest()
}

/** By their place in the file; empty ones count for nothing. */
function sectionsOf(file: Buffer, table: { readonly at: number; readonly count: number }) {
  return Array.from({ length: table.count }, (_, i) => table.at + i * SECTION_BYTES)
    .map((at) => ({ bytes: file.readUInt32LE(at + 16), at: file.readUInt32LE(at + 20) }))
    .filter(({ bytes }) => bytes > 0)
    .sort((a, b) => a.at - b.at)
}
