/** Every verb, with the conductor dying at every moment around every stored effect: a new one on the same data brings
 *  the node to the same end. "Dying" is a worker that is left behind in the middle: its calls to the store and to the
 *  BMC never return. (crash.test.ts does it to a real process, with SIGKILL, for the way to a deployed server.) */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import type { Effect } from '../../conductor/node/effect.ts'
import { newNode, orderId, type NodeRecord } from '../../conductor/node/record.ts'
import { Sightings } from '../../conductor/node/query/sightings.ts'
import { STATES, type State } from '../../conductor/node/workflow/states.ts'
import { Worker, type Performer } from '../../conductor/node/run/worker.ts'
import type { Store } from '../../conductor/store/port.ts'
import { Seal } from '../../conductor/store/secrets.ts'
import { SqliteStore } from '../../conductor/store/sqlite.ts'
import { systemClock, until } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'
import { silentLog } from '../../kit/log.ts'
import { systemRandom } from '../../kit/random.ts'
import { crashAtEach } from '../kit/crash-lanes.ts'
import { SCENARIOS, type Verbs } from './crash-verb-scenarios.ts'
import { QUICK } from './node-step-bench.ts'

/** Lives at a time: most of each is waiting. */
const LANES = 4
const UUID = '00000000-0000-4000-8000-000000000001'
const never = <T>() => new Promise<T>(() => undefined)

/** The server and its BMC: they go on when a conductor dies. */
class Server {
  power = 'power off'
  boot = 'disk'
  /** What is in its virtual drive. */
  medium: 'ramdisk' | null = null
  /** Boots of the ramdisk that nobody heard of yet. */
  agent = false
  jumps = 0
  /** How far the clock was put ahead, for what lasts too long. */
  aheadMs = 0

  perform(effect: Effect): void {
    if (effect.do === 'boot-device') this.boot = effect.device
    if (effect.do === 'http-boot') this.boot = 'http'
    if (effect.do === 'media') {
      if (this.power !== 'power off') throw new Fault('bmc.media', 'the medium was changed while the server was on')
      this.medium = effect.put
    }
    if (effect.do === 'media-asked' && (this.power !== 'power on' || !this.agent))
      throw new Fault('bmc.media', 'the image was waited for in vain')
    if (effect.do === 'reset') this.restart()
    if (effect.do === 'power' && effect.to === 'power off') this.agent = false
    if (effect.do === 'power' && effect.to === 'power on' && this.power === 'power off') this.restart()
    if (effect.do === 'power') this.power = effect.to
  }

  private restart(): void {
    this.agent = ['pxe', 'http'].includes(this.boot) || (this.boot === 'cdrom' && this.medium === 'ramdisk')
  }
}

/** One conductor's worker, which dies at moment `crashAt` (0: never). */
class Life {
  readonly worker: Worker
  private left: number
  dead = false

  constructor(store: Store, server: Server, { crashAt, jumps }: { crashAt: number; jumps: boolean }) {
    this.left = crashAt
    const found = { imageId: 'image', ...(jumps ? { reboot: { how: 'kexec', because: 'asked' } as const } : {}) }
    const performer: Performer = {
      perform: async (effect) => {
        if (this.moment()) return never()
        if (effect.do === 'bmc-check') return { powerState: server.power as 'power on' }
        server.perform(effect)
        if (this.moment()) return never()
        return effect.do === 'image' ? found : undefined
      },
    }
    const watched = new Proxy(store, {
      get: (target, name) => {
        if (name !== 'putNode') return Reflect.get(target, name)?.bind?.(target) ?? Reflect.get(target, name)
        return async (...args: Parameters<Store['putNode']>) => {
          if (this.moment()) return never()
          const saved = await target.putNode(...args)
          return this.moment() ? never() : saved
        }
      },
    })
    const ahead = { ...systemClock, now: () => systemClock.now() + server.aheadMs }
    const clocks = { clock: ahead, monotonic: ahead }
    this.worker = new Worker({
      ...clocks,
      store: watched,
      log: silentLog,
      settings: { ...QUICK, softPowerOffMs: 1_000 },
      performer,
      sightings: new Sightings(),
      onChange: () => undefined,
    })
  }

  /** It does not die any more. */
  spare(): void {
    this.left = 0
  }

  private moment(): boolean {
    if (this.dead) return true
    this.left -= 1
    this.dead = this.left === 0
    return this.dead
  }
}

const dirs: string[] = []
afterEach(async () => {
  for (const dir of dirs.splice(0)) await rm(dir, { recursive: true, force: true })
})

/** What a life ends in: everything that must be the same whenever the conductor died. */
interface End {
  readonly state: State
  readonly power: string
  readonly shown: string | null
  readonly boot: string
  readonly medium: string | null
  readonly agent: boolean
  readonly pendingEffects: number
  readonly error: string | null
  readonly jumps: number
  /** How the instance was started, where that was decided. */
  readonly how: 'kexec' | 'cold' | undefined
}

async function live(verbs: Verbs, crashAt: number): Promise<{ end: End; crashed: boolean }> {
  const dir = await mkdtemp(join(tmpdir(), 'rackward-verbs-'))
  dirs.push(dir)
  const store = new SqliteStore(join(dir, 'r.db'), new Seal(Buffer.alloc(32, 1), systemRandom))
  const server = new Server()
  server.power = verbs.from === 'active' ? 'power on' : 'power off'
  await store.addNode(
    newNode(
      {
        uuid: UUID,
        driver: 'ipmi',
        provisionState: verbs.from,
        powerState: server.power as 'power on',
        ...verbs.record,
      },
      1,
    ),
  )
  const jumps = verbs.jump !== undefined
  let life = new Life(store, server, { crashAt, jumps })
  let crashed = false
  await life.worker.start()
  let tokenMs = 0
  const node = async () => (await store.node(UUID)) as NodeRecord
  const revive = async () => {
    if (!life.dead) return
    crashed = true
    life = new Life(store, server, { crashAt: 0, jumps })
    await life.worker.start()
  }
  /** Sends what a living conductor takes, and gives up waiting for a dead one. */
  const send = (event: Parameters<Worker['dispatch']>[1]) =>
    Promise.race([
      life.worker.dispatch(UUID, event).then(
        () => true,
        (error: unknown) => {
          if (!(error instanceof Fault)) throw error
          return false
        },
      ),
      until(() => life.dead, { what: 'death', timeoutMs: 20_000, everyMs: 1 }).catch(() => false),
    ])
  /** The server's side: a booted agent says hello and does its step. */
  const agent = async () => {
    const now = await node()
    if (now.workflow.phase === 'jump' && now.workflow.pendingEffects.length === 0) return jump()
    if (STATES[now.provisionState].kind !== 'waiting' || now.workflow.pendingEffects.length > 0) return
    if (now.agent === null && server.agent) {
      tokenMs += 1
      await send({
        type: 'hello',
        agent: { sessionHash: 'x', generation: now.workflow.generation, tokenMs, helloAtMs: 0 },
      })
    } else if (now.agent !== null) await send({ type: 'agent-done', orderId: orderId(now), jump: { ready: true } })
  }
  /** The ramdisk is gone, once, and the new system calls, or nothing does until the time is over. */
  const jump = async () => {
    if (server.agent) server.jumps += 1
    server.agent = false
    if (verbs.jump === 'works') return void (await send({ type: 'alive', atMs: systemClock.now() }))
    server.aheadMs = 600_000
    await send({ type: 'deadline', agentSeen: false, lastSeen: '' })
  }
  try {
    const asks = verbs.power ? [{ power: verbs.power, to: verbs.from }] : verbs.asks
    for (const ask of asks) {
      const began = (await node()).workflow
      const taken = (now: NodeRecord) =>
        'power' in ask
          ? now.workflow.pendingVersion > began.pendingVersion
          : now.workflow.pendingVersion > began.pendingVersion || now.workflow.generation > began.generation
      await until(
        async () => {
          await revive()
          const now = await node()
          if (!taken(now)) {
            await send(
              'power' in ask
                ? { type: 'power', target: ask.power }
                : { type: 'verb', verb: ask.verb, warm: false, plan: ask.plan ?? [] },
            )
            return false
          }
          if (now.provisionState === ask.to && now.workflow.pendingEffects.length === 0 && !life.dead) return true
          await agent()
          return false
        },
        { what: `${verbs.name} to end in ${ask.to} (crash at ${crashAt})`, timeoutMs: 20_000, everyMs: 1 },
      )
    }
    const now = await node()
    const end = {
      state: now.provisionState,
      power: server.power,
      shown: now.powerState,
      boot: server.boot,
      medium: server.medium,
      agent: now.agent !== null,
      pendingEffects: now.workflow.pendingEffects.length,
      error: now.lastError,
      jumps: server.jumps,
      how: now.workflow.reboot?.how,
    }
    return { end, crashed }
  } finally {
    // Its last change may be in the store and not yet answered: who lives ends it, and a dead one never would.
    life.spare()
    if (!life.dead) await life.worker.stop()
    life.dead = true
    await store.close()
  }
}

test.each(SCENARIOS)('$name: the same end, whenever the conductor dies', { timeout: 600_000 }, async (verbs) => {
  const { end } = await live(verbs, 0)
  expect(end).toMatchObject({ pendingEffects: 0, error: null, shown: end.power })
  const crashes = await crashAtEach(LANES, async (at) => {
    const again = await live(verbs, at)
    expect([at, again.end]).toEqual([at, end])
    return again.crashed
  })
  // Each verb is saved at least once, and a save has two moments.
  expect(crashes).toBeGreaterThanOrEqual(2)
})
