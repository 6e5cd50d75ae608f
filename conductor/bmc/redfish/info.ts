/** driver_info -> how a Redfish service is reached. Names are Ironic's. Throws `bmc.config` with the key that is
 *  missing or wrong; never contacts the BMC. */
import { readFile, stat } from 'node:fs/promises'
import { isIPv6 } from 'node:net'
import { Fault } from '../../../kit/fault.ts'

export interface RedfishInfo {
  /** Scheme, host and port: https://192.0.2.57 */
  readonly origin: string
  /** Path of the ComputerSystem, such as /redfish/v1/Systems/1; null: the only one there is. */
  readonly systemPath: string | null
  readonly username: string
  readonly password: string
  readonly auth: 'auto' | 'session' | 'basic'
  readonly trust: Trust
  /** False: a connection for each request, where too many are kept already. */
  readonly keepsConnection?: boolean
}

/** How the certificate of a BMC is checked. */
export type Trust =
  /** By the certificates of the system, or by those of a file (PEM). */
  | { readonly kind: 'ca'; readonly file?: string }
  /** By its public key: base64 of the SHA-256 of its SubjectPublicKeyInfo (as in RFC 7469). Null: not seen yet, so the
   *  first one is taken. */
  | { readonly kind: 'pin'; readonly pin: string | null }
  /** Plain HTTP, which the address asks for by name. */
  | { readonly kind: 'none' }

export type DriverInfo = Readonly<Record<string, unknown>>

const MAX_TEXT = 255
const MAX_PEM_BYTES = 4 * 1024 * 1024
const AUTH = ['auto', 'session', 'basic'] as const
const PIN = /^[A-Za-z0-9+/]{43}=$/

/** `learnedPin`: what the key of the BMC was at first contact. */
export function redfishInfo(info: DriverInfo, learnedPin: string | null = null): RedfishInfo {
  const origin = originOf(info.redfish_address)
  return {
    origin,
    systemPath: systemPathOf(info.redfish_system_id),
    username: text(info, 'redfish_username', ''),
    password: text(info, 'redfish_password', ''),
    auth: authOf(info.redfish_auth_type),
    trust: origin.startsWith('http:') ? { kind: 'none' } : trustOf(info, learnedPin),
  }
}

/** The scheme, host and port of `redfish_address`: an address, a name, or a URL without a path. IPv6 with or without
 *  brackets. */
export function originOf(value: unknown): string {
  const given = typeof value === 'string' ? value.trim() : ''
  if (given === '') throw new Fault('bmc.config', 'driver_info/redfish_address is missing')
  const bare = isIPv6(given) ? `[${given}]` : given
  const whole = /^[a-z][a-z0-9+.-]*:\/\//i.test(bare) ? bare : `https://${bare}`
  const url = URL.canParse(whole) ? new URL(whole) : undefined
  const plain = url && /^https?:$/.test(url.protocol) && url.username === '' && url.password === ''
  if (!plain || url.hostname === '' || (url.pathname !== '/' && url.pathname !== '') || url.search || url.hash)
    throw new Fault(
      'bmc.config',
      'driver_info/redfish_address is neither an address nor a URL such as https://192.0.2.57 (the path belongs to redfish_system_id)',
    )
  return url.origin
}

function systemPathOf(value: unknown): string | null {
  if (value === undefined || value === null || value === '') return null
  if (typeof value !== 'string' || value.length > MAX_TEXT || !/^\/[\w./~:@%+-]*$/.test(value) || value.includes('..'))
    throw new Fault('bmc.config', 'driver_info/redfish_system_id is not a path such as /redfish/v1/Systems/1')
  if (/\/Managers\//i.test(value))
    throw new Fault('bmc.config', 'driver_info/redfish_system_id names a manager; give the path of the system')
  return value.replace(/(?<=.)\/$/, '')
}

function authOf(value: unknown): RedfishInfo['auth'] {
  const known = AUTH.find((one) => one === (value ?? 'auto'))
  if (!known) throw new Fault('bmc.config', `driver_info/redfish_auth_type is none of ${AUTH.join(', ')}`)
  return known
}

/** Ironic's redfish_verify_ca: true, false, or the path of a file of certificates. False means here: by the key that
 *  was seen at first contact. */
function trustOf(info: DriverInfo, learnedPin: string | null): Trust {
  const given = info.rackward_tls_pin
  if (given !== undefined && given !== null && given !== '') {
    if (typeof given !== 'string' || !PIN.test(given))
      throw new Fault('bmc.config', 'driver_info/rackward_tls_pin is not the base64 of a SHA-256 (44 characters)')
    return { kind: 'pin', pin: given }
  }
  const verify = info.redfish_verify_ca
  if (verify === undefined || verify === null || isWord(verify, false)) return { kind: 'pin', pin: learnedPin }
  if (isWord(verify, true)) return { kind: 'ca' }
  if (typeof verify !== 'string' || !verify.startsWith('/'))
    throw new Fault('bmc.config', 'driver_info/redfish_verify_ca is neither true nor false nor the path of a file')
  return { kind: 'ca', file: verify }
}

const isWord = (value: unknown, word: boolean) =>
  value === word || (typeof value === 'string' && value.toLowerCase() === String(word))

/** The certificates of `redfish_verify_ca`. Throws `bmc.config` for what is no regular file, is bigger than any bundle
 *  of certificates, or holds none. */
export async function certificatesOf(path: string): Promise<string> {
  try {
    // A pipe or a device would never end.
    const found = await stat(path)
    if (!found.isFile()) throw new Error('it is not a regular file')
    if (found.size > MAX_PEM_BYTES) throw new Error(`it has more than ${MAX_PEM_BYTES} bytes`)

    const pem = await readFile(path, 'utf8')
    if (!pem.includes('-----BEGIN CERTIFICATE-----')) throw new Error('it holds no certificate')
    return pem
  } catch (error) {
    throw new Fault('bmc.config', `driver_info/redfish_verify_ca: ${path} cannot be used: ${(error as Error).message}`)
  }
}

function text(info: DriverInfo, key: string, fallback: string): string {
  const value = info[key] ?? fallback
  if (typeof value !== 'string') throw new Fault('bmc.config', `driver_info/${key} is not a text`)
  if (value.length > MAX_TEXT || /[\0\r\n]/.test(value))
    throw new Fault('bmc.config', `driver_info/${key} is longer than ${MAX_TEXT} characters or holds a line break`)
  return value
}
