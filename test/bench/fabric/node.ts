/** One node of `npm run bench -- fabric`, in a namespace of its own: writes the image again and again when it is told,
 *  with the agent's code as it is shipped. Its disk is a file, whose flush is left out. */
import { readFile, truncate, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import { ImageIndex } from '../../../conductor/api/agent-wire.ts'
import { SwarmAnswer, type SwarmCall } from '../../../conductor/api/swarm-wire.ts'
import { DiskFile } from '../../../host-agent/deploy/disk.ts'
import { PieceServers } from '../../../host-agent/deploy/piece-servers.ts'
import { SwarmFetch } from '../../../host-agent/deploy/swarm/fetch.ts'
import { writeImage } from '../../../host-agent/deploy/write-image.ts'
import { systemClock } from '../../../kit/clock.ts'
import { gather } from '../../../kit/gather.ts'
import { systemRandom } from '../../../kit/random.ts'
import { onLine, say, type Begin, type Ended, type NodeSetup } from './wire.ts'

const MAX_ANSWER = 1_000_000
const setup = JSON.parse(process.argv[2] ?? '') as NodeSetup
const index = ImageIndex.parse(JSON.parse(await readFile(setup.indexFile, 'utf8')))

function call(body: SwarmCall): Promise<SwarmAnswer> {
  return new Promise((resolve, reject) => {
    const asked = request(`${setup.trackerUrl}/${setup.number}`, { method: 'POST' }, (response) => {
      gather(response, MAX_ANSWER).then((bytes) => resolve(SwarmAnswer.parse(JSON.parse(bytes.toString()))), reject)
    })
    asked.on('error', reject)
    asked.end(JSON.stringify(body))
  })
}

async function write({ run, isSwarm }: Begin): Promise<Ended> {
  const path = join(setup.dir, `disk-${setup.number}`)
  await writeFile(path, '')
  await truncate(path, index.sizeBytes)
  const disk = await DiskFile.open(path)
  disk.flush = async () => undefined
  const { orderId, dataUrl, ip, cardBytesPerSecond } = setup
  const source = new PieceServers(dataUrl)
  const swarm = isSwarm
    ? new SwarmFetch({
        orderId,
        index,
        source,
        disk,
        ip,
        cardBytesPerSecond,
        // Pieces are read back from the disk: a zstd for each of these small ones would be the limit.
        memoryBytes: 0,
        call,
        clock: systemClock,
        random: systemRandom,
      })
    : undefined
  const startMs = performance.now()
  const onProgress = () => undefined
  try {
    await writeImage({ disk, index, source, clock: systemClock, compare: false, swarm, onProgress })
    const seconds = (performance.now() - startMs) / 1000
    const { fromNeighbours = 0, toNeighbours = 0 } = swarm?.shared ?? {}
    return { run, seconds, fromNeighbours, toNeighbours }
  } catch (error) {
    return { run, seconds: 0, fromNeighbours: 0, toNeighbours: 0, error: String(error) }
  } finally {
    await disk.close()
  }
}

onLine<Begin>(process.stdin, (begin) => void write(begin).then(say))
process.stdin.on('end', () => process.exit())
say({ ready: setup.number })
