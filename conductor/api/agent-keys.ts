/** Keys of Secure Boot on the agents' wire: signed updates of variables, as firmware in setup mode takes them (UEFI
 *  2.10, 8.2.2, EFI_VARIABLE_AUTHENTICATION_2, and 32.4.1, EFI_SIGNATURE_LIST). Made by sign-efi-sig-list, sbctl and
 *  the like, mostly with names that end with .auth. */
import * as z from 'zod/mini'
import { Fault } from '../../kit/fault.ts'

/** In the order in which they are written: the platform key ends setup mode. */
export const KEY_VARIABLES = ['db', 'KEK', 'PK'] as const
export type KeyVariable = (typeof KEY_VARIABLES)[number]

const MAX_UPDATE_BYTES = 64 * 1024
const MAX_UPDATE_TEXT = Math.ceil(MAX_UPDATE_BYTES / 3) * 4

const Update = z.string().check(z.maxLength(MAX_UPDATE_TEXT), z.regex(/^[A-Za-z0-9+/]+={0,2}$/))
/** Base64 of each. */
export const KeyUpdates = z.object({ db: Update, KEK: Update, PK: Update })
export type KeyUpdates = z.infer<typeof KeyUpdates>

const TIME_BYTES = 16
const CERTIFICATE_HEAD_BYTES = 24
const TYPE_GUID = 0x0ef1
/** EFI_CERT_TYPE_PKCS7_GUID, as it is stored. */
const PKCS7 = '9dd2af4adf68ee498aa9347d375665a7'
const LIST_HEAD_BYTES = 28

/** The signature lists of an update, which are what the variable holds afterwards. Throws `input.invalid`, naming the
 *  variable, for what is no such update. */
export function signatureLists(variable: string, text: string): Buffer {
  const bad = (why: string) =>
    new Fault('input.invalid', `${variable} is no signed update of a variable (.auth): ${why}`)
  const update = Buffer.from(text, 'base64')
  if (update.length < TIME_BYTES + CERTIFICATE_HEAD_BYTES) throw bad('it is too short')
  const sizeBytes = update.readUInt32LE(TIME_BYTES)
  const isSigned = update.readUInt16LE(TIME_BYTES + 6) === TYPE_GUID
  const guid = update.subarray(TIME_BYTES + 8, TIME_BYTES + CERTIFICATE_HEAD_BYTES).toString('hex')
  if (!isSigned || guid !== PKCS7) throw bad('it does not begin with a time and a PKCS #7 signature')
  if (sizeBytes < CERTIFICATE_HEAD_BYTES || TIME_BYTES + sizeBytes >= update.length) throw bad('it holds no keys')

  const lists = update.subarray(TIME_BYTES + sizeBytes)
  for (let at = 0; at < lists.length;) {
    const left = lists.length - at
    const listBytes = left < LIST_HEAD_BYTES ? 0 : lists.readUInt32LE(at + 16)
    if (listBytes < LIST_HEAD_BYTES || listBytes > left) throw bad('its signature lists are broken')
    at += listBytes
  }
  return lists
}
