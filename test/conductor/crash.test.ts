/** kill -9 of a real conductor process at every moment around every stored effect of a deploy; a restart; the deploy
 *  ends well, each time. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { mintToken } from '../../conductor/boot/token.ts'
import { ConductorLink } from '../../host-agent/deploy/conductor.ts'
import { systemClock, until } from '../../kit/clock.ts'
import { importImage } from '../../images/import.ts'
import { ImageStore } from '../../images/store.ts'
import { ApiClient } from '../lab/client.ts'
import { bundled, type Bundled } from '../kit/bundled.ts'
import { crashAtEach } from '../kit/crash-lanes.ts'
import { freePort } from '../kit/free-port.ts'

const LANES = 3
const MAC = '52:54:00:00:00:01'

let program: Bundled
beforeAll(async () => {
  program = await bundled('test/conductor/crash-child.ts')
})
afterAll(() => program?.remove())

interface World {
  readonly dir: string
  readonly api: ApiClient
  readonly agentPort: number
  child: ChildProcess | undefined
  restarts: number
}

async function makeWorld(): Promise<World> {
  const dir = await mkdtemp(join(tmpdir(), 'rackward-crash-'))
  const agentPort = await freePort()
  await mkdir(join(dir, 'data'), { mode: 0o700 })
  await writeFile(join(dir, 'power'), 'off')
  const raw = Buffer.alloc(1024 * 1024, 7)
  raw.writeUInt16LE(0xaa55, 510)
  await writeFile(join(dir, 'image.raw'), raw)
  await importImage(new ImageStore(join(dir, 'images')), { source: join(dir, 'image.raw'), name: 'tiny' })
  await writeFile(
    join(dir, 'conductor.yaml'),
    stringify({
      data: join(dir, 'data'),
      images: { store: join(dir, 'images') },
      api: { listen: [], socket: join(dir, 'api.sock'), auth: { strategy: 'noauth' } },
      agent: { address: '127.0.0.1', port: agentPort },
    }),
  )
  return { dir, api: new ApiClient(join(dir, 'api.sock')), agentPort, child: undefined, restarts: 0 }
}

function startChild(world: World, crashAt: number): void {
  world.child = spawn(process.execPath, [program.file, join(world.dir, 'conductor.yaml'), world.dir, String(crashAt)], {
    // It ends with its parent, whatever ends that.
    stdio: ['pipe', 'ignore', 'inherit'],
  })
}

const dead = (world: World) => world.child?.signalCode !== null || world.child.exitCode !== null

/** Starts a dead conductor again, this time without a crash; then asks. Undefined while it does not answer. */
async function ask(world: World, method: string, path: string, body?: unknown) {
  if (dead(world)) {
    expect(world.child?.signalCode).toBe('SIGKILL')
    world.restarts += 1
    startChild(world, 0)
  }
  return world.api.call(method, path, body).catch(() => undefined)
}

const node = (world: World) =>
  ask(world, 'GET', '/v1/nodes/n1').then((answer) => (answer?.status === 200 ? answer.body : undefined))

/** Sends until the state shows that it was taken: a conductor that died may or may not have taken it. */
async function drive(world: World, body: Record<string, unknown>, to: string): Promise<void> {
  await until(
    async () => {
      const now = await node(world)
      if (now?.provision_state === to && now.reservation === null) return true
      const idle =
        now && now.reservation === null && ['enroll', 'manageable', 'available'].includes(String(now.provision_state))
      if (idle) await ask(world, 'PUT', '/v1/nodes/n1/states/provision', body)
      if (now?.last_error) throw new Error(String(now.last_error))
      return false
    },
    { what: `state ${to} (crash ${world.dir})`, timeoutMs: 30_000, everyMs: 20 },
  )
}

/** The node and its generation, once nothing is owed any more. */
function booted(world: World): { uuid: string; generation: number } | false {
  const db = new Database(join(world.dir, 'data/rackward.db'), { readonly: true })
  const { uuid, body } = db.prepare('SELECT uuid, body FROM nodes').get() as { uuid: string; body: string }
  db.close()
  const { generation, pendingEffects } = (
    JSON.parse(body) as { workflow: { generation: number; pendingEffects: unknown[] } }
  ).workflow
  return pendingEffects.length === 0 && { uuid, generation }
}

/** The server: whenever it is powered on with the network first, it boots the ramdisk and obeys. */
function server(world: World) {
  let link: ConductorLink | undefined
  let running = true
  let tokenMs = 0
  const written: string[] = []
  const agent = async (own: ConductorLink) => {
    tokenMs += 1
    // A server boots for longer than the conductor needs to save what it did; one that asks sooner is told to ask
    // again.
    const { uuid, generation } = await until(() => booted(world), {
      what: 'the boot to be saved',
      timeoutMs: 30_000,
      everyMs: 10,
    })
    const key = Buffer.from((await readFile(join(world.dir, 'data/boot.key'), 'utf8')).trim(), 'hex')
    await own.open({
      token: mintToken(key, { nodeUuid: uuid, generation, mintedMs: tokenMs }),
      secret: String(tokenMs).padStart(43, 'x'),
      macs: [MAC],
      bootMode: 'bios',
    })
    for (let have = ''; ;) {
      const order = await own.order(have)
      if (order?.kind === 'deploy') {
        written.push(order.id)
        await own.report({ orderId: order.id, done: { writtenBytes: 1 } }).catch(() => undefined)
      }
      have = order?.id ?? ''
    }
  }
  const life = (async () => {
    let before = 'off'
    while (running) {
      const power = (await readFile(join(world.dir, 'power'), 'utf8').catch(() => before)).trim()
      const boot = await readFile(join(world.dir, 'boot'), 'utf8').catch(() => '')
      if (power === 'off' && before === 'on') link?.close()
      if (power === 'on' && before === 'off' && boot === 'pxe') {
        const pin = await readPin(world)
        link = new ConductorLink({ url: `https://127.0.0.1:${world.agentPort}`, pin, clock: systemClock })
        agent(link).catch(() => undefined)
      }
      before = power || before
      await systemClock.sleep(10)
    }
    link?.close()
  })()
  return {
    written,
    stop: () => {
      running = false
      return life
    },
  }
}

async function readPin(world: World): Promise<string> {
  const { X509Certificate, createHash } = await import('node:crypto')
  return createHash('sha256')
    .update(new X509Certificate(await readFile(join(world.dir, 'data/agent.crt'))).raw)
    .digest('hex')
}

/** One whole life with a crash at moment `crashAt`. Answers whether there was such a moment. */
async function live(crashAt: number): Promise<boolean> {
  const world = await makeWorld()
  startChild(world, crashAt)
  const machine = server(world)
  try {
    await until(
      async () => {
        const created = await ask(world, 'POST', '/v1/nodes', {
          name: 'n1',
          driver: 'ipmi',
          automated_clean: false,
          instance_info: { image_source: 'tiny' },
          driver_info: { ipmi_address: '127.0.0.1', ipmi_username: 'u', ipmi_password: 'p' },
        })
        return created?.status === 201 || created?.status === 409
      },
      { what: 'the node to be enrolled', timeoutMs: 30_000, everyMs: 20 },
    )
    await drive(world, { target: 'manage' }, 'manageable')
    await drive(world, { target: 'provide' }, 'available')
    await drive(world, { target: 'active' }, 'active')
    const end = await node(world)
    expect(end).toMatchObject({
      provision_state: 'active',
      power_state: 'power on',
      target_power_state: null,
      last_error: null,
      reservation: null,
    })
    expect((await readFile(join(world.dir, 'power'), 'utf8')).trim()).toBe('on')
    expect(await readFile(join(world.dir, 'boot'), 'utf8')).toBe('disk')
    // However often the order was given, it was one and the same: no crash makes a second deploy of one request.
    expect(new Set(machine.written).size).toBe(1)
    return world.restarts > 0
  } finally {
    await machine.stop()
    if (!dead(world)) {
      const gone = once(world.child as ChildProcess, 'exit')
      world.child?.kill('SIGKILL')
      await gone
    }
    await rm(world.dir, { recursive: true, force: true })
  }
}

test('a conductor killed at any moment of a deploy goes on where it was', { timeout: 900_000 }, async () => {
  const crashes = await crashAtEach(LANES, live)
  // verify 1, deploy 5 before the agent and 4 after it: ten effects, each with four moments, and the saves of the verbs
  // between them.
  expect(crashes).toBeGreaterThan(40)
})
