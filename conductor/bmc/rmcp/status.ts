/** What a BMC refuses with: status codes of RMCP+ (IPMI 2.0, table 13-15) and completion codes (table 5-2), in words
 *  and by what they mean for the session. */

export type FailureKind = 'silent' | 'password' | 'suite' | 'sessions' | 'unready' | 'refused'

/** Why a session or a request came to no answer. */
export interface Failure {
  readonly kind: FailureKind
  readonly words: string
}

const STATUS: Readonly<Record<number, readonly [words: string, kind: FailureKind]>> = {
  0x01: ['insufficient resources to create a session', 'sessions'],
  0x02: ['invalid session ID', 'refused'],
  0x03: ['invalid payload type', 'refused'],
  0x04: ['invalid authentication algorithm', 'suite'],
  0x05: ['invalid integrity algorithm', 'suite'],
  0x06: ['no matching authentication payload', 'suite'],
  0x07: ['no matching integrity payload', 'suite'],
  0x08: ['inactive session ID', 'refused'],
  0x09: ['invalid role', 'refused'],
  0x0a: ['unauthorized role or privilege level', 'refused'],
  0x0b: ['insufficient resources to create a session at the requested role', 'sessions'],
  0x0c: ['invalid name length', 'password'],
  0x0d: ['unauthorized name', 'password'],
  0x0e: ['unauthorized GUID', 'refused'],
  0x0f: ['invalid integrity check value', 'password'],
  0x10: ['invalid confidentiality algorithm', 'suite'],
  0x11: ['no matching cipher suite', 'suite'],
  0x12: ['illegal or unrecognized parameter', 'refused'],
}

/** The BMC has forgotten the session that is being opened. */
export const isForgotten = (status: number): boolean => status === 0x02 || status === 0x08

/** `isOpening`: of Open Session, where some BMCs call a suite that they do not know an invalid role or parameter. */
export function statusFailure(status: number, isOpening: boolean): Failure {
  const [words, kind] = STATUS[status] ?? [`status 0x${status.toString(16).padStart(2, '0')}`, 'refused']
  return { kind: isOpening && (status === 0x09 || status === 0x12) ? 'suite' : kind, words }
}

export const COMPLETION = {
  ok: 0x00,
  busy: 0xc0,
  invalidCommand: 0xc1,
  outOfSpace: 0xc4,
  starting: 0xd2,
  privilege: 0xd4,
  state: 0xd5,
}

const COMPLETION_WORDS: Readonly<Record<number, string>> = {
  0xc0: 'node busy',
  0xc1: 'invalid command',
  0xc2: 'invalid command for this LUN',
  0xc3: 'timeout while the command was processed',
  0xc4: 'out of space',
  0xc5: 'reservation cancelled or invalid',
  0xc6: 'request data truncated',
  0xc7: 'request data length invalid',
  0xc8: 'request data field length limit exceeded',
  0xc9: 'parameter out of range',
  0xca: 'cannot return the requested number of bytes',
  0xcb: 'requested sensor, data or record not present',
  0xcc: 'invalid data field in request',
  0xcd: 'command illegal for this sensor or record',
  0xce: 'no response could be provided',
  0xcf: 'duplicated request',
  0xd0: 'SDR repository in update mode',
  0xd1: 'device in firmware update mode',
  0xd2: 'BMC initialization in progress',
  0xd3: 'destination unavailable',
  0xd4: 'insufficient privilege level',
  0xd5: 'not supported in the present state',
  0xd6: 'command or sub-function disabled',
  0xff: 'unspecified error',
}

/** Codes 0x80 to 0xbe have a meaning of their own for each command: Set System Boot Options (28.12) and Set Session
 *  Privilege Level (22.18). */
const OWN_WORDS: Readonly<Record<number, Readonly<Record<number, string>>>> = {
  0x0008: {
    0x80: 'boot option not supported',
    0x81: 'another console is setting boot options',
    0x82: 'boot option is read-only',
  },
  0x063b: {
    0x80: 'level not available to this user',
    0x81: 'level above the limit of the channel or the user',
  },
}

/** Passes by itself: asked again a moment later. */
export const isBusy = (code: number): boolean => code === COMPLETION.busy || code === COMPLETION.outOfSpace

export function completionFailure(code: number, of: { readonly netFn: number; readonly command: number }): Failure {
  const known = COMPLETION_WORDS[code] ?? OWN_WORDS[(of.netFn << 8) | of.command]?.[code] ?? 'completion code'
  const words = `${known} (0x${code.toString(16).padStart(2, '0')})`
  const isUnready = isBusy(code) || code === COMPLETION.starting || code === 0xd1
  return { kind: isUnready ? 'unready' : 'refused', words }
}
