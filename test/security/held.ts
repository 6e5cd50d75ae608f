/** Memory that a conductor process still holds after a garbage collection, by its inspector. Its resident memory says
 *  less: it also counts what V8 and malloc have not given back yet, which is more the busier the machine is. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import WebSocket from 'ws'
import { until } from '../../kit/clock.ts'
import type { Victim } from './victim.ts'

const ANSWER_MS = 20_000

/** Used bytes of the JavaScript heap and of the buffers outside it. Rejects when the inspector does not answer within
 *  20 s. */
export async function heldBytes(victim: Victim): Promise<number> {
  // Node.js opens its inspector when it gets this signal, and says where in its log.
  process.kill(victim.pid, 'SIGUSR1')
  const url = await until(
    async () =>
      /Debugger listening on (ws:\S+)(?![^]*Debugger listening)/.exec(
        await readFile(join(victim.dir, 'conductor.log'), 'utf8'),
      )?.[1],
    { what: 'the inspector of the conductor', timeoutMs: ANSWER_MS },
  )
  const inspector = new WebSocket(url)
  try {
    await new Promise((resolve, reject) => inspector.once('open', resolve).once('error', reject))
    await call(inspector, 1, 'HeapProfiler.collectGarbage')
    const expression = '(({ heapUsed, external }) => heapUsed + external)(process.memoryUsage())'
    const { result } = await call(inspector, 2, 'Runtime.evaluate', { expression })
    return result?.value ?? Number.NaN
  } finally {
    inspector.terminate()
  }
}

/** One command of the Chrome DevTools Protocol and its answer. */
function call(inspector: WebSocket, id: number, method: string, params = {}): Promise<{ result?: { value: number } }> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no answer to ${method}`)), ANSWER_MS)
    inspector.on('message', (data) => {
      const answer = JSON.parse((data as Buffer).toString('utf8')) as { id?: number; result: object }
      if (answer.id !== id) return
      clearTimeout(timer)
      resolve(answer.result)
    })
    inspector.send(JSON.stringify({ id, method, params }))
  })
}
