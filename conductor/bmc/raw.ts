/** Raw IPMI requests of operators: read from text, and refused where another request of the API does the same with its
 *  guards. Pure. */
import { Fault } from '../../kit/fault.ts'

/** Network function, command, and the data that a LAN message holds (IPMI 2.0, 13.8, leaves some 40 bytes). */
const MAX_BYTES = 64

/** Network functions and commands (IPMI 2.0, appendix G) that are not passed on, and why. */
const ELSEWHERE: readonly { readonly netFn: number; readonly command: number; readonly why: string }[] = [
  { netFn: 0x00, command: 0x02, why: 'chassis control changes the power: use states/power' },
  { netFn: 0x06, command: 0x02, why: 'a cold reset of the BMC: use the method bmc_reset with "warm": false' },
  { netFn: 0x06, command: 0x03, why: 'a warm reset of the BMC: use the method bmc_reset with "warm": true' },
  { netFn: 0x06, command: 0x47, why: 'it would put a password into a command line: set it at the BMC' },
  { netFn: 0x06, command: 0x34, why: 'a message inside a message cannot be looked at' },
]

/** "0x00 0x01" -> bytes, as ipmitool reads them: hexadecimal with 0x, else decimal. Throws `input.invalid`. */
export function rawBytes(text: string): number[] {
  const words = text.trim().split(/[\s,]+/)
  if (words.length < 2 || words.length > MAX_BYTES)
    throw new Fault(
      'input.invalid',
      `raw_bytes: a request has 2 to ${MAX_BYTES} bytes (network function, command, data), this one has ${text.trim() === '' ? 0 : words.length}`,
    )
  const bytes = words.map((word) => (/^(0x[0-9a-f]{1,2}|\d{1,3})$/i.test(word) ? Number(word) : Number.NaN))
  const wrong = bytes.findIndex((byte) => !(byte <= 0xff))
  if (wrong >= 0)
    throw new Fault(
      'input.invalid',
      `raw_bytes: ${JSON.stringify(words[wrong]?.slice(0, 16))} is no byte such as 0x2e or 46`,
    )

  const [netFn, command] = bytes
  const elsewhere = ELSEWHERE.find((one) => one.netFn === netFn && one.command === command)
  if (elsewhere) throw new Fault('input.invalid', `raw_bytes: ${elsewhere.why}`)
  return bytes
}

export const hexByte = (value: number): string => `0x${value.toString(16).padStart(2, '0')}`
