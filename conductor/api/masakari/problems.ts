/** Errors in the form that clients of Masakari read. */
import { isFault } from '../../../kit/fault.ts'
import { problemOf } from '../problems.ts'

const KEY_OF: Readonly<Record<number, string>> = {
  400: 'badRequest',
  401: 'unauthorized',
  403: 'forbidden',
  404: 'itemNotFound',
  405: 'badMethod',
  406: 'notAcceptable',
  409: 'conflictingRequest',
  413: 'overLimit',
  415: 'badMediaType',
  429: 'overLimit',
  501: 'notImplemented',
  503: 'serviceUnavailable',
}

/** A mesh without a leader is not the fault of who asks: 503, after which monitors try again. */
export function masakariProblem(error: unknown) {
  const { status: ironic, retryAfterSeconds } = problemOf(error)
  const status = isFault(error, 'mesh.refused') ? 503 : ironic
  const message = isFault(error) ? error.detail : 'Unexpected API Error; see the log of the conductor.'
  return { status, retryAfterSeconds, body: { [KEY_OF[status] ?? 'masakariFault']: { code: status, message } } }
}
