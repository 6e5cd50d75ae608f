/** The variables of virtual UEFI firmware as a file (EDK2, MdeModulePkg/Include/Guid/VariableFormat.h): a certificate
 *  is added to db, as an operator adds that of the site (UEFI, "Signature Database"); a URL becomes the next boot, as
 *  a BMC orders it ("Load Options", "Uri Device Path"). */

const GUID_BYTES = 16
/** Of a firmware volume: where the length of its header stands. */
const FV_HEADER_LENGTH_AT = 48
const STORE_HEADER_BYTES = 28
const VARIABLE_HEADER_BYTES = 60
const START_ID = 0x55aa
const ADDED = 0x3f
/** Taken out of the state of a variable that was deleted. */
const DELETED = 0x02
const AT = { state: 2, attributes: 4, nameSize: 36, dataSize: 40, vendor: 44 } as const
const ERASED = 0xff

/** EFI_CERT_X509_GUID, as it stands in a file. */
const X509 = Buffer.from('a159c0a5e494a74a87b5ab155c2bf072', 'hex')
/** EFI_GLOBAL_VARIABLE. */
const GLOBAL = Buffer.from('61dfe48bca93d211aa0d00e098032b8c', 'hex')
/** Non-volatile, for boot services and for the operating system. */
const ATTRIBUTES = 7
/** Whoever added it: any GUID will do. */
const OWNER = Buffer.from('52ac0d12deb14c3e9b1a7a1c8b526f0d', 'hex')
const DB = textOf('db')

/** Far above those that the firmware numbers itself. */
const HTTP_OPTION = 0x0f00
const ACTIVE = 1
/** The last node of a device path. */
const END_OF_PATH = Buffer.from('7fff0400', 'hex')

/** A copy of the file with the certificate (DER) in db, beside those that are there. */
export function withCertificate(file: Buffer, certificate: Buffer): Buffer {
  const { found } = variablesOf(file, DB)
  if (found === undefined) throw new Error('there is no db among the variables')
  const from = found + VARIABLE_HEADER_BYTES
  const data = file.subarray(from + DB.length, from + DB.length + file.readUInt32LE(found + AT.dataSize))
  const header = Buffer.from(file.subarray(found, from))
  return replaced(file, { header, name: DB, data: Buffer.concat([data, signatureList(certificate)]) })
}

/** A copy of the file whose next boot fetches the URL over HTTP with the first card that can; once. */
export function withHttpBoot(file: Buffer, url: string): Buffer {
  const number = Buffer.alloc(2)
  number.writeUInt16LE(HTTP_OPTION)
  const name = `Boot${HTTP_OPTION.toString(16).toUpperCase().padStart(4, '0')}`
  const option = replaced(file, { header: newHeader(), name: textOf(name), data: loadOption(url) })
  return replaced(option, { header: newHeader(), name: textOf('BootNext'), data: number })
}

interface Variable {
  readonly header: Buffer
  readonly name: Buffer
  readonly data: Buffer
}

/** Adds the variable at the end of the store, and marks the one of this name that was valid as deleted. */
function replaced(file: Buffer, { header, name, data }: Variable): Buffer {
  const out = Buffer.from(file)
  const { found, end } = variablesOf(out, name)
  header.writeUInt32LE(name.length, AT.nameSize)
  header.writeUInt32LE(data.length, AT.dataSize)
  const all = Buffer.concat([header, name, data])
  const free = out.subarray(end, end + all.length)
  if (free.length < all.length || free.some((byte) => byte !== ERASED)) throw new Error('no room for the variable')
  all.copy(out, end)
  if (found !== undefined) out[found + AT.state] = ADDED & ~DELETED
  return out
}

/** Offset of the valid variable of this name, and of the free room behind all. */
function variablesOf(file: Buffer, name: Buffer): { found: number | undefined; end: number } {
  let at = file.readUInt16LE(FV_HEADER_LENGTH_AT) + STORE_HEADER_BYTES
  let found: number | undefined
  for (; file.readUInt16LE(at) === START_ID; at = endOf(file, at)) {
    const from = at + VARIABLE_HEADER_BYTES
    const here = file.subarray(from, from + file.readUInt32LE(at + AT.nameSize))
    if (file[at + AT.state] === ADDED && here.equals(name)) found = at
  }
  return { found, end: at }
}

function newHeader(): Buffer {
  const header = Buffer.alloc(VARIABLE_HEADER_BYTES)
  header.writeUInt16LE(START_ID, 0)
  header[AT.state] = ADDED
  header.writeUInt32LE(ATTRIBUTES, AT.attributes)
  GLOBAL.copy(header, AT.vendor)
  return header
}

/** EFI_LOAD_OPTION with the short form of a path, which is the URL alone. */
function loadOption(url: string): Buffer {
  const uri = Buffer.from(url, 'latin1')
  const node = Buffer.from([3, 24, 0, 0])
  node.writeUInt16LE(node.length + uri.length, 2)
  const path = Buffer.concat([node, uri, END_OF_PATH])
  const head = Buffer.alloc(6)
  head.writeUInt32LE(ACTIVE, 0)
  head.writeUInt16LE(path.length, 4)
  return Buffer.concat([head, textOf('HTTP boot of the BMC'), path])
}

/** As UEFI writes text: UTF-16 with a zero at the end. */
function textOf(text: string): Buffer {
  return Buffer.from(`${text}\0`, 'utf16le')
}

const endOf = (file: Buffer, at: number): number => {
  const end = at + VARIABLE_HEADER_BYTES + file.readUInt32LE(at + AT.nameSize) + file.readUInt32LE(at + AT.dataSize)
  return Math.ceil(end / 4) * 4
}

export function signatureList(certificate: Buffer): Buffer {
  const sizes = Buffer.alloc(12)
  const signatureBytes = GUID_BYTES + certificate.length
  sizes.writeUInt32LE(GUID_BYTES + sizes.length + signatureBytes, 0)
  sizes.writeUInt32LE(signatureBytes, 8)
  return Buffer.concat([X509, sizes, OWNER, certificate])
}
