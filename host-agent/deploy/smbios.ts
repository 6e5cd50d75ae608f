/** Memory modules from the SMBIOS table (DMTF DSP0134, structure type 17), as the firmware reports them: MemTotal is
 *  what is left of it. */

const MEMORY_DEVICE = 17
const END = 127
const UNKNOWN = 0xffff
const EXTENDED = 0x7fff

/** Installed memory in MB, or null when the table has no memory devices. `table`: /sys/firmware/dmi/tables/DMI. */
export function installedMemoryMb(table: Buffer): number | null {
  let total = 0
  let devices = 0
  for (let at = 0; at + 4 <= table.length;) {
    const type = table.readUInt8(at)
    const length = table.readUInt8(at + 1)
    if (length < 4 || at + length > table.length) break
    if (type === MEMORY_DEVICE && length >= 0x0e) {
      devices += 1
      total += deviceMb(table.subarray(at, at + length))
    }
    if (type === END) break
    at = nextStructure(table, at + length)
  }
  return devices === 0 ? null : total
}

/** 7.18: size at 0x0c, in MB, or in kB with bit 15; 0x7fff points to the extended size at 0x1c. */
function deviceMb(device: Buffer): number {
  const size = device.readUInt16LE(0x0c)
  if (size === 0 || size === UNKNOWN) return 0
  if (size === EXTENDED) return device.length >= 0x20 ? device.readUInt32LE(0x1c) & 0x7fffffff : 0
  return size & 0x8000 ? Math.floor((size & 0x7fff) / 1024) : size
}

/** 6.1.3: strings follow a structure and end with two zero bytes. */
function nextStructure(table: Buffer, from: number): number {
  for (let at = from; at + 1 < table.length; at += 1) if (table[at] === 0 && table[at + 1] === 0) return at + 2
  return table.length
}
