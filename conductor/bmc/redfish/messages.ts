/** What a Redfish service says went wrong -> one fault (DSP0266, "Error responses"). Pure. Vendors differ: the list may
 *  be one object, stand at the top of a 200, or be HTML. */
import { Fault, type FaultCode } from '../../../kit/fault.ts'
import { isDict, type Dict } from '../../../kit/json.ts'
import { printable } from '../../../kit/text.ts'

export interface Message {
  /** Without registry and version, which change between releases: "ActionParameterMissing". */
  readonly id: string
  readonly text: string
  readonly args: readonly string[]
  readonly severity: string
  readonly resolution: string
}

export interface Refusal {
  readonly status: number
  readonly messages: readonly Message[]
}

const textOf = (value: unknown): string => (typeof value === 'string' ? printable(value, 300) : '')

const MAX_MESSAGES = 20
const EXTENDED = '@Message.ExtendedInfo'

/** The messages of a body: those of its error object, of its top, and the plain message of the error when there are no
 *  others. */
export function messagesOf(body: unknown): readonly Message[] {
  if (!isDict(body)) return []
  const error = isDict(body.error) ? body.error : {}
  const found = [error[EXTENDED], body[EXTENDED]].flatMap((list) => (Array.isArray(list) ? list : [list]))
  const messages = found.filter(isDict).slice(0, MAX_MESSAGES).map(messageOf)
  const plain = { MessageId: error.code, Message: error.message }
  return messages.length > 0 || error.message === undefined ? messages : [messageOf(plain)]
}

const messageOf = (raw: Dict): Message => ({
  id: textOf(raw.MessageId).split('.').at(-1) ?? '',
  text: textOf(raw.Message),
  args: (Array.isArray(raw.MessageArgs) ? raw.MessageArgs : []).slice(0, MAX_MESSAGES).map((arg) => textOf(arg)),
  severity: textOf(raw.MessageSeverity ?? raw.Severity),
  resolution: textOf(raw.Resolution),
})

export const says = (refusal: Refusal, ...ids: readonly string[]): boolean =>
  refusal.messages.some(({ id }) => ids.includes(id))

/** A 2xx that says Critical did not do it. */
export const isCritical = (messages: readonly Message[]): boolean =>
  messages.some(({ severity }) => severity === 'Critical')

/** By message first, since vendors use the status loosely. */
const BY_MESSAGE: readonly (readonly [FaultCode, readonly string[]])[] = [
  ['bmc.password-change', ['PasswordChangeRequired']],
  ['bmc.licence', ['OemLicenseNotPassed', 'LicenseRequired', 'LicenseNotInstalled', 'LicenseRestriction']],
  ['bmc.sessions', ['SessionLimitExceeded', 'RAC0218', 'CreateLimitReachedForResource']],
  [
    'bmc.unready',
    [
      'ServiceTemporarilyUnavailable',
      'ServiceInUnknownState',
      'ServiceShuttingDown',
      'SYS518',
      'UnableToModifyDuringSystemPOST',
      'ResourceInUse',
      'ResourceInStandby',
    ],
  ],
  ['bmc.password', ['NoValidSession', 'InsufficientPrivilegeOrInvalidCredentials']],
]

const BY_STATUS: Readonly<Record<number, FaultCode>> = {
  401: 'bmc.password',
  404: 'bmc.path',
  409: 'bmc.conflict',
  412: 'bmc.conflict',
  428: 'bmc.conflict',
  429: 'bmc.unready',
  502: 'bmc.unready',
  503: 'bmc.unready',
  504: 'bmc.unready',
}

export const codeOf = (refusal: Refusal): FaultCode =>
  BY_MESSAGE.find(([, ids]) => says(refusal, ...ids))?.[0] ?? BY_STATUS[refusal.status] ?? 'bmc.refused'

/** One line for people: status, what the BMC says, and what it advises. */
export function faultOf(refusal: Refusal, what: string): Fault {
  const said = refusal.messages
    .slice(0, 3)
    .map(({ id, text, resolution }) => [text || id, advice(resolution)].filter(Boolean).join(' '))
    .join('; ')
  return new Fault(codeOf(refusal), `${what}: HTTP ${refusal.status}${said ? `: ${said}` : ''}`)
}

const advice = (resolution: string) => (resolution === '' || /^none\.?$/i.test(resolution) ? '' : `(${resolution})`)
