/** What the errors of a PostgreSQL server, and of the way to it, mean: each names the key of the configuration, or the
 *  remedy at the server. */
import pg from 'pg'
import { Fault, isFault } from '../../../kit/fault.ts'

/** Of the server, about this statement alone: classes 22, 23 and those of our own functions. */
export const isRefusal = (error: unknown): boolean =>
  error instanceof pg.DatabaseError && /^(22|23|40|RW|55P03|57014)/.test(error.code ?? '')

/** Constraints are named `table__field`. */
const fieldOf = (constraint: string | undefined): string | undefined => constraint?.split('__')[1]

const URL_KEY = 'store.postgres.url'
const UNTRUSTED =
  'store.postgres.tls.caFile: the certificate of the database server is not signed by a CA that stands there: name the CA that signed it'
const NOBODY = `${URL_KEY}: no database server answers there`
const REFUSED_LOGIN = `${URL_KEY}, store.postgres.passwordFile: the database server refuses this user or this password`
const EXPIRED = 'the certificate of the database server is not valid at this time: renew it, or set the clock'

/** By the code of Node.js or the SQLSTATE. */
const MEANINGS: Readonly<Record<string, string>> = {
  SELF_SIGNED_CERT_IN_CHAIN: UNTRUSTED,
  DEPTH_ZERO_SELF_SIGNED_CERT: UNTRUSTED,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: UNTRUSTED,
  UNABLE_TO_GET_ISSUER_CERT: UNTRUSTED,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: UNTRUSTED,
  CERT_SIGNATURE_FAILURE: UNTRUSTED,
  CERT_UNTRUSTED: UNTRUSTED,
  CERT_HAS_EXPIRED: EXPIRED,
  CERT_NOT_YET_VALID: EXPIRED,
  ERR_TLS_CERT_ALTNAME_INVALID: `${URL_KEY}: the certificate of the database server is for another name: use a name that stands in it`,
  ECONNREFUSED: NOBODY,
  ENOENT: NOBODY,
  ENOTFOUND: NOBODY,
  EAI_AGAIN: NOBODY,
  EHOSTUNREACH: NOBODY,
  ENETUNREACH: NOBODY,
  ETIMEDOUT: NOBODY,
  '28P01': REFUSED_LOGIN,
  '28000': REFUSED_LOGIN,
  '3D000': `${URL_KEY}: there is no such database: create it`,
  '42501': 'the database user may not do this: make it the owner of the database',
  '53100': 'the disk of the database server is full: free some space there',
  '53300': 'the database server has no connection left: raise its max_connections, or lower store.postgres.connections',
  '57P03': 'the database server starts or stops',
  '25006': 'the database is a read-only standby: connect to the primary',
}

/** Errors of the driver that have no code. */
const MESSAGES: readonly (readonly [RegExp, string])[] = [
  [
    /does not support SSL/,
    'store.postgres.tls: the database server offers no TLS: set `ssl = on` there; or, for a unix socket or this machine alone, `tls: off` here',
  ],
  [/password must be a string|client password/, `store.postgres.passwordFile: the database server asks for a password`],
  [/connection timeout|timeout expired|when trying to connect/, NOBODY],
]

function meaningOf(code: string | undefined, message: string): string {
  const meaning = code === undefined ? undefined : MEANINGS[code]
  return meaning ?? MESSAGES.find(([pattern]) => pattern.test(message))?.[1] ?? 'the database failed'
}

export function faultOf(error: unknown, what: string): Fault {
  if (isFault(error)) return error
  const { code, constraint, message } = error as pg.DatabaseError
  const cause = { cause: error }
  if (code === 'RW001')
    return new Fault('store.locked', 'another conductor has taken over the nodes of this database', cause)
  if (code === 'RW002')
    return new Fault('store.migrated', 'the records of this database were moved to another store', cause)
  if (code === '23505') {
    const field = fieldOf(constraint)
    if (field === 'bmc')
      return new Fault('object.conflict', `${what}: another node has this BMC already; one BMC belongs to one node`, {
        ...cause,
        field,
      })
    return new Fault('object.conflict', `${what}: ${field ?? 'a value'} is already in use`, { ...cause, field })
  }
  if (code === '23503') return new Fault('object.conflict', `${what}: the node that it belongs to is gone`, cause)
  if (code === '22021' || code === '22P02' || code === '22P05')
    return new Fault(
      'input.invalid',
      `${what}: a text holds a character that PostgreSQL cannot store, such as NUL`,
      cause,
    )
  if (code === '40001' || code === '40P01')
    return new Fault('store.moved', `${what}: others changed the same records at the same time`, cause)
  return new Fault('store.broken', `${meaningOf(code, message)} (${message})`, cause)
}
