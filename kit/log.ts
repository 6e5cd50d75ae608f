/** JSON lines to standard error. Secrets never get here: values under these keys are cut wherever they stand. */
import { writeSync } from 'node:fs'
import { pino, type Logger } from 'pino'

export type Log = Pick<Logger, 'info' | 'warn' | 'error' | 'debug'>

const SECRET_KEYS = ['password', 'ipmi_password', 'token', 'session', 'authorization', 'configdrive', 'user_data']

export interface LogOptions {
  readonly level?: string | undefined
  /** `json`: one object a line. `text`: for people and the journal, with the priority of sd-daemon(3) in front. */
  readonly format?: 'json' | 'text' | undefined
}

export const makeLog = (name: string, { level = 'info', format = 'json' }: LogOptions = {}): Log =>
  pino(
    {
      name,
      level,
      redact: { paths: SECRET_KEYS.flatMap((key) => [key, `*.${key}`, `*.*.${key}`]), censor: '******' },
      base: { name },
    },
    format === 'json' ? pino.destination({ fd: 2, sync: true }) : { write: (line) => void writeSync(2, asText(line)) },
  )

/** Priorities of syslog (RFC 5424, section 6.2.1) by pino's levels. */
const PRIORITIES: Readonly<Record<number, number>> = { 20: 7, 30: 6, 40: 4, 50: 3, 60: 2 }

/** `{"level":40,"msg":"x","host":"h1",...}` -> `<4>x host=h1`. The journal knows the time and the program. */
export function asText(line: string): string {
  const {
    level,
    time: _time,
    name: _name,
    msg,
    err,
    ...rest
  } = JSON.parse(line) as Record<string, unknown> & { level: number; err?: { message?: string } }
  const value = (one: unknown) => (typeof one === 'string' && /^[^\s"=]+$/.test(one) ? one : JSON.stringify(one))
  const words = Object.entries({ ...rest, ...(err ? { error: err.message } : {}) }).map(
    ([key, one]) => ` ${key}=${value(one)}`,
  )
  return `<${PRIORITIES[level] ?? 6}>${String(msg ?? '').replaceAll('\n', ' ')}${words.join('')}\n`
}

export const silentLog: Log = pino({ level: 'silent' })
