/** Whether the loader for UEFI of an ISO image is signed: El Torito names a FAT image inside (El Torito 1.0; UEFI, "ISO
 *  9660 and El Torito"). Everything is bounded: the file may be damaged. */
import { open } from 'node:fs/promises'
import type { ReadAt } from './fat.ts'
import { loaderAt, readerOf } from './signed-loader.ts'

const SECTOR_BYTES = 2048
const FIRST_DESCRIPTOR = 16
const MAX_DESCRIPTORS = 16
const CATALOG_AT = 0x47
const ENTRY_BYTES = 32
/** First bytes of entries of the catalog. */
const [BOOTABLE, SECTION, LAST_SECTION] = [0x88, 0x90, 0x91]
const PLATFORM_UEFI = 0xef

/** Undefined: it has no loader for UEFI. Throws what keeps the file from being read. */
export async function hasSignedIso(path: string): Promise<boolean | undefined> {
  const file = await open(path, 'r')
  try {
    const read = readerOf(file)
    const esp = await espOf(read)
    return esp === undefined ? undefined : (await loaderAt(read, esp)).signed
  } finally {
    await file.close()
  }
}

/** Where the FAT image for UEFI begins. */
async function espOf(read: ReadAt): Promise<number | undefined> {
  for (let number = 0; number < MAX_DESCRIPTORS; number += 1) {
    const descriptor = await read((FIRST_DESCRIPTOR + number) * SECTOR_BYTES, SECTOR_BYTES)
    if (descriptor.length < SECTOR_BYTES || descriptor.toString('latin1', 1, 6) !== 'CD001') return undefined
    if (descriptor[0] !== 0 || !descriptor.toString('latin1', 7, 39).startsWith('EL TORITO SPECIFICATION')) continue
    return espOfCatalog(await read(descriptor.readUInt32LE(CATALOG_AT) * SECTOR_BYTES, SECTOR_BYTES))
  }
  return undefined
}

/** The first entry is of the platform that the head of the catalog names, the others of that of their section. */
function espOfCatalog(catalog: Buffer): number | undefined {
  let platform = catalog[1]
  for (let at = ENTRY_BYTES; at + ENTRY_BYTES <= catalog.length; at += ENTRY_BYTES) {
    const kind = catalog[at]
    if (kind === SECTION || kind === LAST_SECTION) platform = catalog[at + 1]
    else if (kind === BOOTABLE && platform === PLATFORM_UEFI) return catalog.readUInt32LE(at + 8) * SECTOR_BYTES
  }
  return undefined
}
