/** The variables of virtual UEFI firmware as a file: a certificate is added to db, as an operator adds that of the site
 *  (EDK2, MdeModulePkg/Include/Guid/VariableFormat.h; UEFI, "Signature Database"). */

const GUID_BYTES = 16
/** Of a firmware volume: where the length of its header stands. */
const FV_HEADER_LENGTH_AT = 48
const STORE_HEADER_BYTES = 28
const VARIABLE_HEADER_BYTES = 60
const START_ID = 0x55aa
const ADDED = 0x3f
/** Taken out of the state of a variable that was deleted. */
const DELETED = 0x02
const AT = { state: 2, nameSize: 36, dataSize: 40 } as const

/** EFI_CERT_X509_GUID, as it stands in a file. */
const X509 = Buffer.from('a159c0a5e494a74a87b5ab155c2bf072', 'hex')
/** Whoever added it: any GUID will do. */
const OWNER = Buffer.from('52ac0d12deb14c3e9b1a7a1c8b526f0d', 'hex')
const DB = Buffer.from('db\0', 'utf16le')

/** A copy of the file with the certificate (DER) in db, beside those that are there. */
export function withCertificate(file: Buffer, certificate: Buffer): Buffer {
  const out = Buffer.from(file)
  let at = out.readUInt16LE(FV_HEADER_LENGTH_AT) + STORE_HEADER_BYTES
  let old: number | undefined
  for (; out.readUInt16LE(at) === START_ID; at = endOf(out, at)) {
    const name = out.subarray(
      at + VARIABLE_HEADER_BYTES,
      at + VARIABLE_HEADER_BYTES + out.readUInt32LE(at + AT.nameSize),
    )
    if (out[at + AT.state] === ADDED && name.equals(DB)) old = at
  }
  if (old === undefined) throw new Error('there is no db among the variables')
  const from = old + VARIABLE_HEADER_BYTES
  const data = out.subarray(from + DB.length, from + DB.length + out.readUInt32LE(old + AT.dataSize))
  const added = Buffer.concat([data, signatureList(certificate)])
  const header = Buffer.from(out.subarray(old, from))
  header.writeUInt32LE(added.length, AT.dataSize)
  Buffer.concat([header, DB, added]).copy(out, at)
  out[old + AT.state] = ADDED & ~DELETED
  return out
}

const endOf = (file: Buffer, at: number): number => {
  const end = at + VARIABLE_HEADER_BYTES + file.readUInt32LE(at + AT.nameSize) + file.readUInt32LE(at + AT.dataSize)
  return Math.ceil(end / 4) * 4
}

function signatureList(certificate: Buffer): Buffer {
  const sizes = Buffer.alloc(12)
  const signatureBytes = GUID_BYTES + certificate.length
  sizes.writeUInt32LE(GUID_BYTES + sizes.length + signatureBytes, 0)
  sizes.writeUInt32LE(signatureBytes, 8)
  return Buffer.concat([X509, sizes, OWNER, certificate])
}
