/** One pass over many BMCs, seen from their side: from the first read of a pass to the last. The BMCs are real IPMI
 *  servers (ipmi_sim). */
import { systemClock, until } from '../../kit/clock.ts'
import { startSim, type Sim } from '../fake/sim.ts'
import { during, startIronic, startRackward, type Server } from './api.ts'
import { client, must, timed } from './load.ts'

const BMCS = 134
const SYNC_SECONDS = 20
const PASSES = 2
const say = (line: string) => void process.stderr.write(`${line}\n`)

export interface Pass {
  readonly bmcs: number
  /** BMCs that were read. */
  readonly answered: number
  readonly seconds: number
}

/** No client reads so many on a machine that simulates the BMCs too: each read is a dozen datagrams and a process. */
const MOST_PER_SECOND = 20_000

/** The figure, if it can be true. Throws with the reason otherwise. */
export function believable(pass: Pass): Pass {
  const { bmcs, answered, seconds } = pass
  const wrong = (why: string) => new Error(`the measurement of a pass over ${bmcs} BMCs is wrong: ${why}`)
  if (answered < bmcs) throw wrong(`only ${answered} of them were read`)
  if (!(seconds >= bmcs / MOST_PER_SECOND))
    throw wrong(`${seconds} s are too few; ${MOST_PER_SECOND} BMCs a second are more than can be read here`)
  if (seconds >= SYNC_SECONDS)
    throw wrong(`${seconds} s are longer than the ${SYNC_SECONDS} s between two passes, so that it was more than one`)
  return pass
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
    const info = {
      ipmi_address: sims[i]?.address,
      ipmi_username: 'admin',
      ipmi_password: 'secret',
      ipmi_cipher_suite: 3,
    }
    const { uuid } = await must(c, 'POST', '/v1/nodes', { driver: 'ipmi', name: `bmc-${i}`, driver_info: info })
    await must(c, 'PUT', `/v1/nodes/${uuid}/states/provision`, { target: 'manage' })
    uuids.push(uuid as string)
  })
  await until(
    async () => (await must(c, 'GET', '/v1/nodes?provision_state=manageable&limit=1000')).nodes.length === sims.length,
    {
      what: 'all to be manageable',
      timeoutMs: 300_000,
      everyMs: 500,
    },
  )
  c.close()
}

const reads = async (sims: readonly Sim[]): Promise<number> =>
  (
    await Promise.all(sims.map(async (sim) => (await sim.calls()).filter((line) => line.startsWith('get')).length))
  ).reduce((sum, count) => sum + count, 0)

/** Until nobody has read anything for a second. */
async function silence(sims: readonly Sim[]): Promise<void> {
  for (let before = -1, now = await reads(sims); now !== before; now = await reads(sims)) {
    before = now
    await systemClock.sleep(1_000)
  }
}

/** Waits for a pass that begins in silence. Its times are those of the BMCs: looking from here is slower than a
 *  pass. */
async function onePass(sims: readonly Sim[]): Promise<Pass> {
  await silence(sims)
  await Promise.all(sims.map((sim) => sim.forget()))
  await until(async () => (await Promise.all(sims.map((sim) => sim.called()))).every(Boolean), {
    what: 'a pass over all BMCs',
    timeoutMs: SYNC_SECONDS * 3_000 + 120_000,
    everyMs: 200,
  })
  await silence(sims)
  const calls = (await Promise.all(sims.map((sim) => sim.called()))).flatMap((called) => called ?? [])
  const seconds =
    (Math.max(...calls.map(({ lastMs }) => lastMs)) - Math.min(...calls.map(({ firstMs }) => firstMs))) / 1000
  return believable({ bmcs: sims.length, answered: calls.length, seconds })
}

async function passes(sims: readonly Sim[]): Promise<Pass> {
  const all: Pass[] = []
  for (let i = 0; i < PASSES; i += 1) all.push(await onePass(sims))
  return all.reduce((best, pass) => (pass.seconds < best.seconds ? pass : best))
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
