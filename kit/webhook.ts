/** Posting something to somebody's URL, signed so that the receiver knows who it is from and when. */
import { createHmac } from 'node:crypto'
import { Fault } from './fault.ts'
import { readPrivateFile } from './files.ts'
import { http } from './http.ts'

const TIMEOUT_MS = 10_000
const LEAST_SECRET = 16

/** `t=<seconds>,v1=<hex>`: HMAC-SHA256 of `<seconds>.<body>` under the webhook's secret. */
export const signature = (secret: string, atMs: number, body: string | Buffer): string => {
  const seconds = Math.floor(atMs / 1000)
  return `t=${seconds},v1=${createHmac('sha256', secret).update(`${seconds}.`).update(body).digest('hex')}`
}

/** A receiver's URL, and the secret that it checks signatures with. */
export interface SignedHook {
  readonly url: string
  readonly secret: string
}

/** Posts a body once. Rejects unless the answer has a status of 2xx. */
export async function deliver(
  hook: SignedHook,
  post: { body: string; atMs: number; signal: AbortSignal },
): Promise<void> {
  const headers = { 'x-rackward-signature': signature(hook.secret, post.atMs, post.body) }
  return postOnce(hook.url, { body: post.body, headers, signal: post.signal })
}

/** What may stand in a log or an answer: receivers such as Slack have their token in the path. */
export const shownHook = (url: string): string => {
  const { origin, pathname, search } = new URL(url)
  return pathname === '/' && search === '' ? origin : `${origin}/…`
}

/** The same, with the headers that the receiver wants. No redirect is followed. What it throws names the server, and
 *  not the path. */
export async function postOnce(
  url: string,
  post: { body: string; headers: Readonly<Record<string, string>>; signal: AbortSignal },
): Promise<void> {
  const signal = AbortSignal.any([post.signal, AbortSignal.timeout(TIMEOUT_MS)])
  const ask = { method: 'POST', url, headers: post.headers, text: post.body, ignoreBody: true, signal }
  const { status } = await http(ask).catch((error: Error) => {
    // The text of the fault has the path; that of its cause has addresses and names.
    const { cause = error } = error
    throw new Error(`POST ${shownHook(url)}: ${(cause as Error).message}`, { cause })
  })
  if (status < 200 || status > 299) throw new Error(`it answered ${status}`)
}

/** A secret of a file that nobody else can read. `key` names the configuration's key. */
export async function readSecret(file: string, key: string): Promise<string> {
  const text = await readPrivateFile(file, 'config.invalid').catch((error: Error) => {
    throw new Fault('config.invalid', `${key}: ${error.message}`, { cause: error })
  })
  return text.trim()
}

/** The secret of a webhook, which must not be guessable. */
export async function readHookSecret(file: string, key: string): Promise<string> {
  const secret = await readSecret(file, key)
  if (secret.length < LEAST_SECRET)
    throw new Fault('config.invalid', `${key}: the secret has fewer than ${LEAST_SECRET} characters`)
  return secret
}
