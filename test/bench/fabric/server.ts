/** The conductor's ends in `npm run bench -- fabric`: server.js seed IP FILE sends ranges of the image; server.js
 *  tracker IP IMAGE introduces nodes to each other, with the conductor's code, and is told on standard input: an empty
 *  object begins a new run, one with `done` says that this node has the image. */
import { readFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { Introductions } from '../../../conductor/agents/swarm/introductions.ts'
import { SwarmCall } from '../../../conductor/api/swarm-wire.ts'
import { systemClock } from '../../../kit/clock.ts'
import { gather } from '../../../kit/gather.ts'
import { listen } from '../../../kit/listen.ts'
import { systemRandom } from '../../../kit/random.ts'
import { writer } from './records.ts'
import { onLine, say } from './wire.ts'

const [role = '', host = '', what = ''] = process.argv.slice(2)
const MAX_CALL = 100_000

async function seed(): Promise<(request: IncomingMessage, response: ServerResponse) => void> {
  const data = await readFile(what)
  return (request, response) => {
    const [, from = 0, to = 0] = (/bytes=(\d+)-(\d+)/.exec(request.headers.range ?? '') ?? []).map(Number)
    response.writeHead(206, { 'content-length': to - from + 1 })
    response.end(data.subarray(from, to + 1))
  }
}

function tracker(): (request: IncomingMessage, response: ServerResponse) => void {
  const made = () =>
    new Introductions({
      store: { ports: async () => [] },
      clock: systemClock,
      random: systemRandom,
      limits: { fromNodes: 3, members: 1_000 },
      uploadBytesPerSecond: null,
    })
  let introductions = made()
  onLine<{ readonly done?: number }>(process.stdin, ({ done }) => {
    // As the conductor hears of its own nodes: who has the image is introduced to nobody any more.
    if (done !== undefined) {
      const node = writer(done, what)
      return introductions.changed({ ...node, workflow: { ...node.workflow, imageId: null } })
    }
    introductions = made()
    say({})
  })
  return (request, response) => {
    const number = Number(request.url?.slice(1))
    const answer = async () => {
      const call = SwarmCall.parse(JSON.parse((await gather(request, MAX_CALL)).toString()))
      return introductions.call(writer(number, what), call, request.socket.remoteAddress ?? '')
    }
    answer().then(
      (said) => response.end(JSON.stringify(said)),
      (error: unknown) => {
        response.statusCode = 500
        response.end(String(error))
      },
    )
  }
}

const handle = role === 'seed' ? await seed() : tracker()
await listen(createServer(handle), { host, port: 8080 })
process.stdin.on('end', () => process.exit()).resume()
say({ ready: role })
