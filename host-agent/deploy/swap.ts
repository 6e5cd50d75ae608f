/** The header of a swap area (mkswap(8), version 1), which the ramdisk has no program for. Pure. */
const PAGE_BYTES = 4096
const SIGNATURE = 'SWAPSPACE2'
const VERSION_AT = 1024

export function swapHeader(sizeBytes: number, uuid: string): Buffer {
  const page = Buffer.alloc(PAGE_BYTES)
  page.writeUInt32LE(1, VERSION_AT)
  page.writeUInt32LE(Math.floor(sizeBytes / PAGE_BYTES) - 1, VERSION_AT + 4)
  Buffer.from(uuid.replaceAll('-', ''), 'hex').copy(page, VERSION_AT + 12)
  page.write(SIGNATURE, PAGE_BYTES - SIGNATURE.length, 'latin1')
  return page
}
