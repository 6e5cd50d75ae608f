/** JSON lines to standard error. Secrets never get here: values under these keys are cut wherever they stand. */
import { pino, type Logger } from 'pino'

export type Log = Pick<Logger, 'info' | 'warn' | 'error' | 'debug'>

const SECRET_KEYS = ['password', 'ipmi_password', 'token', 'session', 'authorization', 'configdrive', 'user_data']

export const makeLog = (name: string, level = 'info'): Log =>
  pino(
    { name, level, redact: { paths: SECRET_KEYS.flatMap((key) => [key, `*.${key}`, `*.*.${key}`]), censor: '******' }, base: { name } },
    pino.destination({ fd: 2, sync: true }),
  )

export const silentLog: Log = pino({ level: 'silent' })
