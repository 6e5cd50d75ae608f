/** Faults -> HTTP: the only place that knows status codes. The body is Ironic's: a JSON document inside a JSON
 *  string. */
import { isFault, type FaultCode } from '../../kit/fault.ts'

const STATUS: Partial<Record<FaultCode, number>> = {
  'input.invalid': 400,
  'input.missing': 400,
  'input.version': 406,
  'input.version-range': 406,
  'input.large': 413,
  'input.type': 415,
  'object.missing': 404,
  'mesh.member': 409,
  'mesh.unknown': 409,
  'mesh.refused': 409,
  'mesh.leaderless': 503,
  'consul.unreachable': 503,
  'object.conflict': 409,
  'node.locked': 409,
  'node.elsewhere': 503,
  'node.state': 400,
  'node.maintenance': 400,
  'node.protected': 403,
  'node.retired': 400,
  'node.unsupported': 400,
  'node.network-data': 400,
  'access.unknown': 401,
  'access.denied': 403,
  'access.limited': 429,
  // Alertmanager sends again after a status of 5xx alone.
  'access.often': 503,
  'hook.unfinished': 503,
  'access.streams': 429,
  'access.busy': 429,
  'access.cross-site': 403,
  'input.method': 405,
  'inspect.rule': 400,
  'agent.token': 400,
  'agent.session': 401,
  'bmc.unreachable': 500,
  'bmc.busy': 503,
  'bmc.updating': 503,
  'run.resources': 503,
  'store.stale': 409,
  'store.moved': 409,
  'store.broken': 503,
  'store.migrated': 503,
  'store.doubt': 503,
  'bmc.config': 400,
  'url.fetch': 400,
  'url.busy': 503,
  'image.missing': 400,
  'image.checksum': 400,
  'image.format': 400,
  'image.unsigned': 400,
  'image.untrusted': 400,
  'image.architecture': 400,
}

/** Seconds after which trying again makes sense (Retry-After, RFC 9110). */
const RETRY_AFTER_SECONDS: Partial<Record<FaultCode, number>> = {
  'access.limited': 60,
  'access.busy': 5,
  'access.often': 60,
  'url.busy': 5,
  'store.doubt': 20,
}

export interface Problem {
  readonly status: number
  readonly body: { readonly error_message: string }
  readonly retryAfterSeconds: number | undefined
}

export function problemOf(error: unknown): Problem {
  const fault = isFault(error) ? error : undefined
  const status = fault ? (STATUS[fault.code] ?? 500) : httpStatus(error)
  const retryAfterSeconds = fault && RETRY_AFTER_SECONDS[fault.code]
  return { status, body: problemBody(status, fault?.message ?? messageOf(error, status)), retryAfterSeconds }
}

export const problemBody = (status: number, text: string): Problem['body'] => ({
  error_message: JSON.stringify({ faultcode: status < 500 ? 'Client' : 'Server', faultstring: text, debuginfo: null }),
})

/** Errors of express's own parsers carry a status of 4xx. */
function httpStatus(error: unknown): number {
  const status = (error as { status?: unknown } | null)?.status
  return typeof status === 'number' && status >= 400 && status < 500 ? status : 500
}

/** The text of an unexpected error is not shown: it may hold anything. */
const messageOf = (error: unknown, status: number) => {
  if (status >= 500) return 'internal error; see the log of the conductor'
  const type = (error as { type?: unknown }).type
  if (type === 'entity.parse.failed')
    return 'the body is not JSON (send a JSON object with the header Content-Type: application/json)'
  if (type === 'entity.too.large') return 'the body is too large'
  return String((error as Error).message).slice(0, 500)
}
