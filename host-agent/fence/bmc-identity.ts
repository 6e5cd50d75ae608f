/** Whether a BMC is the one of a host: its GUID against the host's SMBIOS UUID. Pure. */

/** Some BMCs answer the GUID with its bytes in the order of the wire: RFC 4122's first three fields reversed
 *  (ipmitool's "encoding" is a guess). */
export function sameUuid(answered: string | null, wanted: string): boolean {
  if (answered === null) return false
  const hex = (text: string) => text.replaceAll('-', '').toLowerCase()
  const [a, b] = [hex(answered), hex(wanted)]
  const swap = (text: string) =>
    (text.slice(0, 8) + text.slice(8, 12) + text.slice(12, 16)).replace(
      /^(..)(..)(..)(..)(..)(..)(..)(..)$/,
      '$4$3$2$1$6$5$8$7',
    ) + text.slice(16)
  const whole = (text: string) => text.match(/../g)?.reverse().join('') ?? ''
  return a === b || swap(a) === b || whole(a) === b
}
