/** A flood as a process of its own, so that it takes neither the soak's event loop nor its memory: `child.js NAME
 *  TARGET-AS-JSON`; SIGTERM ends it, and it prints its count. */
import { setMaxListeners } from 'node:events'
import type { Target } from './flood.ts'
import { FLOODS } from './list.ts'

const [, , name = '', text = ''] = process.argv
const flood = FLOODS.find((one) => one.name === name)
if (!flood) throw new Error(`there is no flood ${JSON.stringify(name)}`)
const abort = new AbortController()
setMaxListeners(0, abort.signal)
process.once('SIGTERM', () => abort.abort())
// A flood that stumbles over its own broken connections goes on.
process.on('uncaughtException', () => undefined)
const sent = await flood.run(JSON.parse(text) as Target, abort.signal)
process.stdout.write(`${sent}\n`, () => process.exit(0))
