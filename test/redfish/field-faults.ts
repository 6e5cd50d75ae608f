/** Faults of real BMCs in what every driver needs (sessions, ETags, errors, power, boot override, connections), by
 *  name: each is a rule or a few. */
import type { ServerResponse } from 'node:http'
import { SESSIONS } from './families/sessions.ts'
import { ENABLED, MODE, RESET, TARGET } from './families/systems.ts'
import { message } from './messages.ts'
import { body, type Rule } from './rules.ts'
import { isDict, link, merge, ROOT, SYSTEM, type Answer, type Ask, type Dict } from './tree.ts'

const LOGIN = { method: 'POST', path: SESSIONS } as const
const READ = { method: 'GET', path: SYSTEM } as const
/** A change of the override, wherever it is written. */
const CHANGE = { method: 'PATCH', path: /^\{system\}(\/Settings)?$/ } as const
const ORDER = { method: 'POST', path: RESET } as const
const notRoot = ({ path }: Ask) => path !== ROOT

const bootOf = (ask: Ask): Dict => (isDict(ask.body.Boot) ? ask.body.Boot : {})
const without = (from: Dict, ...keys: readonly string[]): Dict =>
  Object.fromEntries(Object.entries(from).filter(([key]) => !keys.includes(key)))
const reset = (actions: unknown, change: (action: Dict) => Dict): Dict => {
  const action = (actions as Record<string, Dict>)['#ComputerSystem.Reset'] ?? {}
  return { '#ComputerSystem.Reset': change(action) }
}

/** What a refusal says of itself, otherwise. */
const messages = (change: (message: Dict) => unknown) => (answer: Answer) => {
  if (answer.status < 400) return answer
  const { error } = answer.body as { error: Dict }
  const [first] = error['@Message.ExtendedInfo'] as readonly Dict[]
  return { ...answer, body: { error: { ...error, '@Message.ExtendedInfo': change(first ?? {}) } } }
}

const allowed = (key: string, values: readonly string[]): Rule => ({
  ...READ,
  change: body((system) => merge(system, { Boot: { [`${key}@Redfish.AllowableValues`]: values } })),
})

const json = (response: ServerResponse) => response.writeHead(200, { 'content-type': 'application/json' })

export const FIELD = {
  'a session has no Location': [
    {
      ...LOGIN,
      change: ({ status, headers }) => ({ status, headers: without(headers ?? {}, 'location') as never, body: {} }),
    },
  ],
  'the session table is full': [{ ...LOGIN, refuse: { status: 503, id: 'SessionLimitExceeded' } }],
  'there are no sessions': [
    { ...LOGIN, refuse: { status: 404, id: 'ResourceMissingAtURI' } },
    { method: 'GET', path: ROOT, change: body((root) => without(root, 'SessionService', 'Links')) },
  ],
  'a session ends by itself': [
    {
      method: 'GET',
      when: ({ headers }) => headers['x-auth-token'] !== undefined,
      only: 4,
      before: (bmc) => bmc.sessions.clear(),
    },
  ],
  'the password must be changed': [{ when: notRoot, refuse: { status: 403, id: 'PasswordChangeRequired' } }],
  'the user has been locked out': [{ when: notRoot, refuse: { status: 401, id: 'InsufficientPrivilege' } }],
  'a change needs any If-Match': [
    { ...CHANGE, when: ({ ifMatch }) => ifMatch !== '*', refuse: { status: 428, id: 'PreconditionRequired' } },
  ],
  'a change with If-Match is refused': [
    { ...CHANGE, when: ({ ifMatch }) => ifMatch !== undefined, refuse: { status: 412, id: 'PreconditionFailed' } },
  ],
  'etag is weak, and only its strong form is taken': [
    {
      ...CHANGE,
      when: ({ ifMatch }) => !ifMatch?.startsWith('"'),
      refuse: { status: 412, id: 'PreconditionFailed' },
    },
    {
      method: 'GET',
      change: (answer) =>
        answer.headers?.etag ? { ...answer, headers: { ...answer.headers, etag: `W/${answer.headers.etag}` } } : answer,
    },
  ],
  'the first change is refused, because the ETag moved': [
    { ...CHANGE, first: 1, refuse: { status: 412, id: 'PreconditionFailed' } },
  ],
  'messages are one object': [{ change: messages((one) => one) }],
  'messages have no text': [{ change: messages((one) => [without(one, 'Message')]) }],
  'errors are HTML': [
    {
      change: (answer) =>
        answer.status < 400
          ? answer
          : { status: answer.status, body: '<html><body>503 Service Unavailable</body></html>' },
    },
  ],
  '"on" is refused for a while after "off"': [
    {
      ...ORDER,
      when: ({ body: { ResetType } }) => ResetType === 'On',
      first: 2,
      refuse: { status: 409, id: 'ActionParameterValueConflict', args: ['ResetType', 'On'] },
    },
  ],
  'a reset is accepted and ignored': [{ ...ORDER, when: ({ body: { ResetType } }) => ResetType !== 'Nmi', lie: true }],
  'a system is powering off for ever': [
    {
      ...ORDER,
      after: ({ system }) => {
        if (system.power === 'Off') system.power = 'PoweringOff'
      },
    },
  ],
  'there is no power state': [{ ...READ, change: body((system) => ({ ...system, PowerState: null })) }],
  'no reset types are named': [
    {
      ...READ,
      change: body((system) => ({ ...system, Actions: reset(system.Actions, ({ target }) => ({ target })) })),
    },
  ],
  'reset types stand in an ActionInfo': [
    {
      ...READ,
      change: body((system) => ({
        ...system,
        Actions: reset(system.Actions, ({ target }) => ({
          target,
          '@Redfish.ActionInfo': `${String(system['@odata.id'])}/ResetActionInfo`,
        })),
      })),
    },
  ],
  'the override is written in the settings resource': [{ profile: { bootIn: 'settings' } }],
  'the override is accepted and ignored': [{ ...CHANGE, lie: true }],
  'what is not repeated is dropped': [
    {
      ...CHANGE,
      when: (ask) => Object.keys(bootOf(ask)).length < 3,
      after: ({ system }) => system.setBoot({ ...system.boot, [ENABLED]: 'Disabled', [MODE]: 'Legacy' }),
    },
  ],
  'the boot mode is not shown': [
    { ...READ, change: body((system) => ({ ...system, Boot: without(system.Boot as Dict, MODE) })) },
    {
      ...CHANGE,
      when: (ask) => bootOf(ask)[MODE] !== undefined,
      refuse: { status: 400, id: 'PropertyNotWritable', args: [MODE] },
    },
  ],
  'the boot mode must be in every change': [
    {
      ...CHANGE,
      when: (ask) => bootOf(ask)[MODE] === undefined,
      refuse: { status: 400, id: 'PropertyMissing', args: [MODE] },
    },
  ],
  'the boot mode cannot be written': [
    {
      ...CHANGE,
      when: (ask) => bootOf(ask)[MODE] !== undefined,
      refuse: { status: 400, id: 'PropertyNotWritable', args: [MODE] },
    },
  ],
  'an override for once is kept for ever': [{ profile: { once: 'kept' } }],
  'an override for once is ignored': [{ profile: { once: 'ignored' } }],
  'a restart of the BMC forgets the override': [
    {
      ...CHANGE,
      forget: {
        at: 'bmc-restart',
        save: ({ system }) => {
          const { boot } = system
          return () => system.setBoot(boot)
        },
      },
    },
  ],
  'nothing is Continuous': [
    allowed(ENABLED, ['Disabled', 'Once']),
    {
      ...CHANGE,
      when: (ask) => bootOf(ask)[ENABLED] === 'Continuous',
      refuse: { status: 400, id: 'PropertyValueNotInList', args: ['Continuous', ENABLED] },
    },
  ],
  'the virtual drive is UsbCd': [allowed(TARGET, ['None', 'Pxe', 'UsbCd', 'Hdd', 'BiosSetup'])],
  'the server is starting, and nothing can be changed': [
    { ...CHANGE, refuse: { status: 400, id: 'UnableToModifyDuringSystemPOST' } },
  ],
  'a licence is missing': [{ ...CHANGE, refuse: { status: 403, id: 'OemLicenseNotPassed' } }],
  'a 200 says Critical': [
    {
      ...CHANGE,
      change: (answer) =>
        answer.status === 204
          ? {
              status: 200,
              body: { '@Message.ExtendedInfo': [message({ id: 'IDRAC.2.9.SYS410', severity: 'Critical' })] },
            }
          : answer,
    },
  ],
  'there are two systems': [members((first) => [...first, link(`${ROOT}/Systems/HGX_Baseboard_0`)])],
  'there are ten thousand members': [
    members(() => Array.from({ length: 10_000 }, (_, i) => link(`${ROOT}/Systems/${i}`))),
  ],
  'the path is a manager': [
    { ...READ, change: body((system) => ({ ...system, '@odata.type': '#Manager.v1_5_0.Manager' })) },
  ],
  'the UUID is empty': [{ ...READ, change: body((system) => ({ ...system, UUID: '' })) }],
  'kept connections are reset': [{ drop: 'when-reused' }],
  'an answer breaks off': [{ ...READ, first: 1, drop: 'in-body' }],
  'a change takes two seconds': [{ ...CHANGE, latencyMs: 2_000 }],
  'a redirect leads to another host': [
    {
      ...READ,
      raw: (response) => {
        response.writeHead(307, { location: 'https://198.51.100.1/redfish/v1/Systems/1' })
        response.end()
      },
    },
  ],
  'a link leads to another host': [
    { path: ROOT, change: body((root) => ({ ...root, Systems: link('//198.51.100.1/redfish/v1/Systems') })) },
  ],
  'an answer has no end': [
    {
      ...READ,
      raw: (response) => {
        json(response)
        const more = () => {
          while (!response.destroyed && response.write(' '.repeat(65_536))) continue
        }
        response.on('drain', more)
        more()
      },
    },
  ],
  'an answer drips': [{ ...READ, raw: (response) => void json(response).write('{') }],
  'an answer is nested without end': [{ ...READ, raw: (response) => void response.end('['.repeat(100_000)) }],
  'it is no Redfish service': [{ raw: (response) => void response.end('<html>Welcome</html>') }],
  'it is busy after a restart': [
    {
      when: (ask) => notRoot(ask) && ask.path !== LOGIN.path,
      refuse: { status: 503, id: 'ServiceTemporarilyUnavailable' },
    },
  ],
} satisfies Readonly<Record<string, readonly Rule[]>>
export type FieldFault = keyof typeof FIELD
export const FIELD_FAULTS = Object.keys(FIELD) as FieldFault[]

function members(change: (members: readonly unknown[]) => readonly unknown[]): Rule {
  return {
    method: 'GET',
    path: `${ROOT}/Systems`,
    change: body((list) => {
      const all = change(list.Members as readonly unknown[])
      return { ...list, Members: all, 'Members@odata.count': all.length }
    }),
  }
}
