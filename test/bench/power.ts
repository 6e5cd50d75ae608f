/** One pass over many BMCs, seen from their side: from the first read of a pass to the last. The BMCs are real IPMI servers (ipmi_sim). */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { systemClock, until } from '../../kit/clock.ts'
import { startSim, type Sim } from '../fake/sim.ts'
import { during, startIronic, startRackward, type Server } from './api.ts'
import { client, must, timed } from './load.ts'

const BMCS = 134
const SYNC_SECONDS = 20
const PASSES = 2
const say = (line: string) => void process.stderr.write(`${line}\n`)

interface Pass {
  readonly bmcs: number
  readonly seconds: number
}

export interface PowerResult {
  readonly rackward: Pass
  readonly oneDead: Pass
  readonly ironic: Pass | null
}

async function farm(): Promise<Sim[]> {
  const sims: Sim[] = []
  await timed(BMCS, 8, async (i) => void sims.push(await startSim(i + 1)))
  return sims
}

async function enrollAll(server: Server, sims: readonly Sim[]): Promise<void> {
  const c = client(server.base, 8)
  const uuids: string[] = []
  await timed(sims.length, 8, async (i) => {
    const info = { ipmi_address: sims[i]?.address, ipmi_username: 'admin', ipmi_password: 'secret', ipmi_cipher_suite: 3 }
    const { uuid } = await must(c, 'POST', '/v1/nodes', { driver: 'ipmi', name: `bmc-${i}`, driver_info: info })
    await must(c, 'PUT', `/v1/nodes/${uuid}/states/provision`, { target: 'manage' })
    uuids.push(uuid as string)
  })
  await until(async () => (await must(c, 'GET', '/v1/nodes?provision_state=manageable&limit=1000')).nodes.length === sims.length, {
    what: 'all to be manageable',
    timeoutMs: 300_000,
    everyMs: 500,
  })
  c.close()
}

const reads = async (sim: Sim): Promise<number> => (await sim.calls()).filter((line) => line.startsWith('get')).length

/** Waits for a pass that begins in silence; answers from its first read to its last. */
async function onePass(sims: readonly Sim[]): Promise<number> {
  let firstMs = 0
  let doneMs = 0
  await Promise.all(sims.map((sim) => writeFile(join(sim.dir, 'calls'), '')))
  const seen = new Set<Sim>()
  await until(
    async () => {
      for (const sim of sims) if (!seen.has(sim) && (await readFile(join(sim.dir, 'calls'))).length > 0) seen.add(sim)
      if (seen.size > 0 && firstMs === 0) firstMs = performance.now()
      doneMs = performance.now()
      return seen.size === sims.length
    },
    { what: 'a pass over all BMCs', timeoutMs: SYNC_SECONDS * 3_000 + 120_000, everyMs: 5 },
  )
  // Whoever is still reading belongs to this pass; the next one begins in silence.
  let before = -1
  for (;;) {
    const now = (await Promise.all(sims.map(reads))).reduce((sum, count) => sum + count, 0)
    if (now === before) break
    before = now
    await systemClock.sleep(1_000)
  }
  return (doneMs - firstMs) / 1000
}

async function passes(sims: readonly Sim[]): Promise<Pass> {
  const all: number[] = []
  for (let i = 0; i < PASSES; i += 1) all.push(await onePass(sims))
  return { bmcs: sims.length, seconds: Math.min(...all) }
}

export async function measurePower(withPeer: boolean): Promise<PowerResult> {
  say(`power: ${BMCS} simulated BMCs`)
  const sims = await farm()
  try {
    const peer = withPeer ? await startIronic(SYNC_SECONDS) : undefined
    const ironic = peer
      ? await during(peer, async () => {
          await enrollAll(peer, sims)
          say('ironic: passes of its power sync')
          return passes(sims)
        })
      : null
    return await during(await startRackward(SYNC_SECONDS), async (ours) => {
      await enrollAll(ours, sims)
      say('rackward: passes of its power sync')
      const rackward = await passes(sims)
      const [gone] = sims.splice(0, 1) as [Sim]
      await gone.stop()
      say('rackward: the same with one BMC dead')
      return { rackward, oneDead: await passes(sims), ironic }
    })
  } finally {
    await Promise.all(sims.map((sim) => sim.stop()))
  }
}
