/** driver_info -> what the IPMI wrapper needs. Names are Ironic's. Throws `bmc.config` with the key that is missing or
 *  wrong. */
import { isIP } from 'node:net'
import { Fault } from '../../kit/fault.ts'
import type { IpmiInfo } from './controller.ts'

/** What a host's credentials are bound to when they are sealed for an arbiter. */
export const aboutBmc = (host: string, arbiter: string): string => `bmc of ${host} for ${arbiter}`

const HOST = /^[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?$/
const PRIVILEGES = ['CALLBACK', 'USER', 'OPERATOR', 'ADMINISTRATOR']
/** IPMI 2.0 22.30: a password has 20 bytes at most. */
const MAX_PASSWORD_BYTES = 20
const MAX_USER_BYTES = 16
/** K_g of zeros: the password takes its place (22.25). BMCs are delivered so. */
const NO_KEY = /^0+$/

/** ipmitool's options for a blade behind another controller (Ironic's ipmi_bridging). */
const BRIDGES: Readonly<Record<string, readonly (readonly [key: string, option: string])[]>> = {
  no: [],
  single: [
    ['ipmi_target_channel', '-b'],
    ['ipmi_target_address', '-t'],
  ],
  dual: [
    ['ipmi_transit_channel', '-B'],
    ['ipmi_transit_address', '-T'],
    ['ipmi_target_channel', '-b'],
    ['ipmi_target_address', '-t'],
  ],
}

/** `unauthenticated`: cipher suite 0 is allowed. */
export function ipmiInfo(info: Readonly<Record<string, unknown>>, { unauthenticated = false } = {}): IpmiInfo {
  const text = (key: string, fallback?: string): string => {
    const value = info[key] ?? fallback
    if (value === undefined) throw new Fault('bmc.config', `driver_info/${key} is missing`)
    if (typeof value !== 'string') throw new Fault('bmc.config', `driver_info/${key} is not a text`)
    return value
  }
  const whole = (key: string, fallback: number | undefined, range: readonly [number, number]): number | undefined => {
    const value = info[key]
    if (value === undefined) return fallback
    const parsed = typeof value === 'string' && /^\d{1,5}$/.test(value) ? Number(value) : value
    if (typeof parsed !== 'number' || !Number.isInteger(parsed) || parsed < range[0] || parsed > range[1])
      throw new Fault('bmc.config', `driver_info/${key} is not a number from ${range[0]} to ${range[1]}`)
    return parsed
  }
  const address = text('ipmi_address')
  // A name that begins with a dash would be an option of ipmitool.
  if (!isIP(address) && !HOST.test(address))
    throw new Fault('bmc.config', 'driver_info/ipmi_address is neither an address nor a host name')
  const username = text('ipmi_username', '')
  const password = text('ipmi_password', '')
  if (Buffer.byteLength(username) > MAX_USER_BYTES || username.startsWith('-'))
    throw new Fault('bmc.config', 'driver_info/ipmi_username is longer than 16 bytes or begins with a dash')
  if (Buffer.byteLength(password) > MAX_PASSWORD_BYTES)
    throw new Fault('bmc.config', 'driver_info/ipmi_password is longer than the 20 bytes of IPMI 2.0')
  const privilege = text('ipmi_priv_level', 'ADMINISTRATOR').toUpperCase()
  if (!PRIVILEGES.includes(privilege))
    throw new Fault('bmc.config', `driver_info/ipmi_priv_level is none of ${PRIVILEGES.join(', ')}`)
  const cipherSuite = whole('ipmi_cipher_suite', undefined, [0, 17])
  if (cipherSuite === 0 && !unauthenticated)
    throw new Fault(
      'bmc.config',
      'driver_info/ipmi_cipher_suite is 0, which neither checks the password nor encrypts; bmc.allowCipherSuite0 would allow it',
    )
  const bridge = bridgeOf(info)
  const kgKeyHex = info.ipmi_hex_kg_key
  if (kgKeyHex !== undefined && !(typeof kgKeyHex === 'string' && /^[0-9a-fA-F]{40}$/.test(kgKeyHex)))
    throw new Fault('bmc.config', 'driver_info/ipmi_hex_kg_key is not 40 hexadecimal digits')
  return {
    address,
    username,
    password,
    privilege,
    port: whole('ipmi_port', 623, [1, 65535]) as number,
    ...(cipherSuite === undefined ? {} : { cipherSuite }),
    ...(bridge.length > 0 ? { bridge } : {}),
    ...(kgKeyHex === undefined || NO_KEY.test(kgKeyHex) ? {} : { kgKeyHex }),
  }
}

function bridgeOf(info: Readonly<Record<string, unknown>>): string[] {
  const kind = typeof info.ipmi_bridging === 'string' ? info.ipmi_bridging.toLowerCase() : 'no'
  const options = Object.hasOwn(BRIDGES, kind) ? BRIDGES[kind] : undefined
  if (!options || (info.ipmi_bridging !== undefined && typeof info.ipmi_bridging !== 'string'))
    throw new Fault('bmc.config', `driver_info/ipmi_bridging is none of ${Object.keys(BRIDGES).join(', ')}`)
  const local =
    options.length > 0 && info.ipmi_local_address !== undefined ? ([['ipmi_local_address', '-m']] as const) : []
  return [...local, ...options].flatMap(([key, option]) => {
    const given = info[key]
    const value = typeof given === 'string' || typeof given === 'number' ? String(given) : ''
    if (!/^(0x[0-9a-fA-F]{1,2}|[0-9]{1,3})$/.test(value))
      throw new Fault('bmc.config', `driver_info/${key} is not a number such as 0x82 (ipmi_bridging is ${kind})`)
    return [option, value]
  })
}
