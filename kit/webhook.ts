/** Posting something to somebody's URL, signed so that the receiver knows who it is from and when. */
import { createHmac } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { Fault } from './fault.ts'

const TIMEOUT_MS = 10_000

/** `t=<seconds>,v1=<hex>`: HMAC-SHA256 of `<seconds>.<body>` under the webhook's secret. */
export const signature = (secret: string, atMs: number, body: string): string => {
  const seconds = Math.floor(atMs / 1000)
  return `t=${seconds},v1=${createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex')}`
}

/** The status of the answer. */
export function postSigned(
  hook: { url: string; secret: string },
  post: { body: string; atMs: number; signal: AbortSignal },
): Promise<number> {
  const url = new URL(hook.url)
  const headers = {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(post.body),
    'x-rackward-signature': signature(hook.secret, post.atMs, post.body),
  }
  return new Promise((resolve, reject) => {
    const options = { method: 'POST', headers, timeout: TIMEOUT_MS, signal: post.signal }
    const call = (url.protocol === 'https:' ? httpsRequest : httpRequest)(url, options, (response) => {
      response.resume()
      response.on('end', () => resolve(response.statusCode ?? 0))
      response.on('error', reject)
    })
    call.on('timeout', () => call.destroy(new Error(`it did not answer within ${TIMEOUT_MS / 1000} s`)))
    call.on('error', reject)
    call.end(post.body)
  })
}

/** A secret of a file that nobody else can read. `at` names the configuration's key. */
export async function readSecret(file: string, at: string): Promise<string> {
  const info = await stat(file).catch((error: Error) => {
    throw new Fault('config.invalid', `${at}: cannot read ${file}: ${error.message}`, { cause: error })
  })
  if ((info.mode & 0o077) !== 0) throw new Fault('config.invalid', `${at}: ${file} can be read by others: chmod 600 it`)
  return (await readFile(file, 'utf8')).trim()
}
