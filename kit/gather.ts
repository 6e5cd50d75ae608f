/** A stream of bytes, read whole up to a limit into one buffer: thousands of tiny chunks take no more memory than what
 *  they hold. */
import type { Readable } from 'node:stream'
import { Fault } from './fault.ts'

const FIRST_BYTES = 4096
const NOTHING = Buffer.alloc(0)

/** Throws `input.large` beyond `limitBytes`, and discards the rest; rejects when the stream breaks off. */
export function gather(stream: Readable, limitBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let held: Buffer = NOTHING
    let size = 0
    const onData = (chunk: Buffer) => {
      if (size + chunk.length > limitBytes)
        return end(() =>
          reject(new Fault('input.large', `the body is too large: at most ${limitBytes} bytes are taken`)),
        )
      // Most bodies are one chunk, which is the answer as it is; a small part of a bigger buffer would keep all of that
      // in memory.
      if (size === 0 && chunk.buffer.byteLength <= chunk.length * 2) {
        held = chunk
        size = chunk.length
        return
      }

      if (size + chunk.length > held.length) {
        const grown = Buffer.allocUnsafe(
          Math.min(limitBytes, Math.max(FIRST_BYTES, held.length * 2, size + chunk.length)),
        )
        held.copy(grown, 0, 0, size)
        held = grown
      }
      chunk.copy(held, size)
      size += chunk.length
    }
    const onEnd = () => end(() => resolve(held.subarray(0, size)))
    const onError = (error: Error) =>
      end(() => reject(new Fault('input.invalid', `the body broke off: ${error.message}`, { cause: error })))
    const onClose = () =>
      end(() => reject(new Fault('input.invalid', 'the connection ended before the body was whole')))
    const listeners = [
      ['data', onData],
      ['end', onEnd],
      ['error', onError],
      ['close', onClose],
    ] as const
    const end = (then: () => void) => {
      for (const [event, listener] of listeners) stream.off(event, listener)
      stream.on('error', () => undefined)
      stream.resume()
      then()
    }
    for (const [event, listener] of listeners) stream.on(event, listener)
    if (stream.destroyed) onClose()
  })
}
