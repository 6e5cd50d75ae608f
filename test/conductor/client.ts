/** A plain client of the API for tests: one request, one answer, no retries. */
import { request } from 'node:http'
import { gunzipSync } from 'node:zlib'

export interface Answer {
  status: number
  body: any
  headers: Record<string, string | string[] | undefined>
}

export function call(
  method: string,
  path: string,
  body: unknown,
  headers: Record<string, string>,
  to: string,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const bytes =
      body === undefined ? undefined : typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body)
    // Node does not tell of a body of a GET or a DELETE.
    const length: Record<string, string> =
      bytes === undefined ? {} : { 'content-length': String(Buffer.byteLength(bytes)) }
    const ask = request(
      `${to}${path}`,
      { method, headers: { 'content-type': 'application/json', ...length, ...headers } },
      (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('end', () => {
          const bytes = Buffer.concat(chunks)
          const text = (response.headers['content-encoding'] === 'gzip' ? gunzipSync(bytes) : bytes).toString()
          resolve({
            status: response.statusCode ?? 0,
            body: text ? JSON.parse(text) : undefined,
            headers: response.headers,
          })
        })
      },
    )
    ask.on('error', reject)
    ask.end(bytes)
  })
}
export const faultOf = (answer: Answer) =>
  JSON.parse(answer.body.error_message) as { faultcode: string; faultstring: string; debuginfo: null }
