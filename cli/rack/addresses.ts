/** Forms of addresses in a rack file. Pure. */
import { isIP } from 'node:net'

/** Such as 10.0.0.0/24. */
export const isCidr = (text: string): boolean => {
  const [address = '', prefix = '', ...rest] = text.split('/')
  const bits = isIP(address) === 4 ? 32 : 128
  return rest.length === 0 && isIP(address) !== 0 && /^\d{1,3}$/.test(prefix) && Number(prefix) <= bits
}

/** Of a URL: a user or a password. */
export const hasUser = (url: string): boolean =>
  URL.canParse(url) && (new URL(url).username !== '' || new URL(url).password !== '')
