/** Faults of real BMCs that the virtual one can be given, and how they show on the wire. */
import type { ServerResponse } from 'node:http'
import type { Heard, VirtualBmc } from './virtual-bmc.ts'

export const FIELD_FAULTS = [
  'a session has no Location',
  'the session table is full',
  'there are no sessions',
  'a session ends by itself',
  'the password must be changed',
  'the user has been locked out',
  'a change needs any If-Match',
  'a change with If-Match is refused',
  'etag is weak, and only its strong form is taken',
  'the first change is refused, because the ETag moved',
  'messages are one object',
  'messages have no text',
  'errors are HTML',
  '"on" is refused for a while after "off"',
  'a reset is accepted and ignored',
  'a system is powering off for ever',
  'there is no power state',
  'no reset types are named',
  'reset types stand in an ActionInfo',
  'the override is written in the settings resource',
  'the override is accepted and ignored',
  'what is not repeated is dropped',
  'the boot mode is not shown',
  'the boot mode must be in every change',
  'the boot mode cannot be written',
  'nothing is Continuous',
  'the virtual drive is UsbCd',
  'the server is starting, and nothing can be changed',
  'a licence is missing',
  'a 200 says Critical',
  'there are two systems',
  'there are ten thousand members',
  'the path is a manager',
  'the UUID is empty',
  'kept connections are reset',
  'a redirect leads to another host',
  'a link leads to another host',
  'an answer has no end',
  'an answer drips',
  'an answer is nested without end',
  'it is no Redfish service',
  'it is busy after a restart',
] as const
export type FieldFault = (typeof FIELD_FAULTS)[number]

/** An error answer in the form that the BMC's faults give it. */
export function fail(
  response: ServerResponse,
  status: number,
  id: string,
  faults: ReadonlySet<FieldFault>,
  args: readonly string[] = [],
): void {
  if (faults.has('errors are HTML')) {
    response.writeHead(status, { 'content-type': 'text/html' })
    return void response.end('<html><body>503 Service Unavailable</body></html>')
  }
  const message = {
    MessageId: `Base.1.18.${id}`,
    ...(faults.has('messages have no text') ? {} : { Message: `The service says ${id}.` }),
    MessageArgs: args,
    Severity: 'Warning',
    Resolution: 'Read the manual.',
  }
  const body = {
    error: {
      code: 'Base.1.18.GeneralError',
      message: 'See ExtendedInfo',
      '@Message.ExtendedInfo': faults.has('messages are one object') ? message : [message],
    },
  }
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(body))
}

type Way = (bmc: VirtualBmc, at: { heard: Heard; response: ServerResponse }) => boolean
const isLogin = ({ method, path }: Heard) => method === 'POST' && path.endsWith('/Sessions')

/** Faults that show before anything is looked at; true: answered. */
const BEFORE: Partial<Record<FieldFault, Way>> = {
  'the session table is full': (bmc, { heard, response }) =>
    isLogin(heard) && done(fail(response, 503, 'SessionLimitExceeded', bmc.faults)),
  'there are no sessions': (bmc, { heard, response }) =>
    isLogin(heard) && done(fail(response, 404, 'ResourceMissingAtURI', bmc.faults)),
  'a session ends by itself': (bmc, { heard }) => {
    if (heard.method === 'GET' && !heard.basic && bmc.times('a session ends by itself') === 4) bmc.sessions.clear()
    return false
  },
  'the password must be changed': (bmc, { heard, response }) =>
    heard.path !== '/redfish/v1' && done(fail(response, 403, 'PasswordChangeRequired', bmc.faults)),
  'the user has been locked out': (bmc, { heard, response }) =>
    heard.path !== '/redfish/v1' && done(fail(response, 401, 'InsufficientPrivilege', bmc.faults)),
  'kept connections are reset': (bmc, { response }) => {
    const socket = response.socket as (NonNullable<typeof response.socket> & { used?: boolean }) | null
    if (!socket?.used) {
      if (socket) socket.used = true
      return false
    }
    socket.destroy()
    bmc.times('kept connections are reset')
    return true
  },
  'a redirect leads to another host': (bmc, { heard, response }) => {
    if (heard.path !== bmc.systemPath) return false
    response.writeHead(307, { location: 'https://198.51.100.1/redfish/v1/Systems/1' })
    return done(response.end())
  },
  'an answer has no end': (bmc, { heard, response }) => {
    if (heard.path !== bmc.systemPath) return false
    response.writeHead(200, { 'content-type': 'application/json' })
    const more = () => {
      while (!response.destroyed && response.write(' '.repeat(65_536))) continue
    }
    response.on('drain', more)
    more()
    return true
  },
  'an answer drips': (bmc, { heard, response }) => {
    if (heard.path !== bmc.systemPath) return false
    response.writeHead(200, { 'content-type': 'application/json' })
    response.write('{')
    return true
  },
  'an answer is nested without end': (bmc, { heard, response }) =>
    heard.path === bmc.systemPath && done(response.end('['.repeat(100_000))),
  'it is no Redfish service': (_, { response }) => done(response.end('<html>Welcome</html>')),
  'it is busy after a restart': (bmc, { heard, response }) =>
    heard.path !== '/redfish/v1' &&
    !isLogin(heard) &&
    done(fail(response, 503, 'ServiceTemporarilyUnavailable', bmc.faults)),
}

const done = (...answered: readonly unknown[]): true => {
  void answered
  return true
}

export const faultsBefore: Way = (bmc, at) => [...bmc.faults].some((fault) => BEFORE[fault]?.(bmc, at) ?? false)
