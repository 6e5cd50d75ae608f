/** `rackward boot --room` and a conductor as real processes, with a network between them: a server's firmware takes
 *  its address, its loader, its script, its kernel and its ramdisk from the room, also while no conductor is there. */
import { spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Measures } from '../../../cli/simulate/measures.ts'
import { bootOverNetwork, fetchText } from '../../../cli/simulate/network-boot.ts'
import { Relay } from '../../../cli/simulate/relay.ts'
import { BLOCK_BYTES } from '../../../conductor/boot/rooms/manifest.ts'
import { systemClock, until } from '../../../kit/clock.ts'
import { run, runOk } from '../../../kit/run.ts'
import { LOADERS } from '../../../pxe/firmware.ts'
import { RmcpBmc } from '../../fake/rmcp-bmc.ts'
import { freePort } from '../../kit/free-port.ts'
import { RACKWARD_MAIN } from '../../lab/root.ts'
import { Wire } from '../../pxe/wire.ts'
import { Victim } from '../../security/victim.ts'

const MAC = '52:54:00:aa:bb:01'
const KERNEL = randomBytes(100_000)
const INITRD = randomBytes(BLOCK_BYTES + 1_000)
const WAIT = { timeoutMs: 60_000, everyMs: 100 }
const cli = (...words: string[]) => run([process.execPath, RACKWARD_MAIN, ...words], { timeoutMs: 60_000 })

let dir = ''
/** Of this machine, its peer and nobody else; the room is in the namespace `site`. */
let wire: Wire
let victim: Victim | undefined
let bmc: RmcpBmc
let relay: Relay
let rooms: ChildProcess[] = []

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-room-process-'))
  await mkdir(join(dir, 'loaders'))
  for (const name of LOADERS) await writeFile(join(dir, 'loaders', name), `loader ${name}`)
  await writeFile(join(dir, 'kernel'), KERNEL)
  await writeFile(join(dir, 'initrd'), INITRD)
  wire = new Wire()
  await wire.open({ isRouted: false })
  // The address that the server is going to have: its firmware is this process.
  await runOk(['ip', 'address', 'add', `${wire.at(0, 100)}/24`, 'dev', wire.own], { timeoutMs: 10_000 })
  bmc = await RmcpBmc.start()
  relay = new Relay({
    clock: systemClock,
    address: wire.at(0, 1),
    server: wire.at(0, 2),
    port: 67,
    onAgain: () => undefined,
  })
  await relay.listen()
})
afterEach(async () => {
  relay.close()
  for (const room of rooms.splice(0)) await end(room, 'SIGKILL')
  await victim?.remove()
  victim = undefined
  await bmc.stop()
  await wire.close()
  await rm(dir, { recursive: true, force: true })
}, 60_000)

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill(signal)
  await gone
}

async function conductor(roomPort: number): Promise<Victim> {
  const address = wire.at(0, 1)
  return Victim.start({
    address,
    config: {
      agent: { address, port: await freePort(address) },
      boot: {
        interfaces: [],
        subnets: [],
        http: { address, port: await freePort(address) },
        tftp: address,
        kernel: join(dir, 'kernel'),
        initrd: join(dir, 'initrd'),
        loaders: join(dir, 'loaders'),
      },
      rooms: {
        listen: { address, port: roomPort },
        segments: [{ name: 'rack1', cidr: wire.cidr(0), first: wire.at(0, 100), last: wire.at(0, 110) }],
      },
    },
  })
}

/** In the namespace, with its disk in `dir`. */
function startRoom(roomPort: number): ChildProcess {
  const words = ['boot', '--room', 'r1', '--conductor', `https://${wire.at(0, 1)}:${roomPort}`]
  const own = ['--bundle', join(dir, 'r1.json'), '--data', join(dir, 'room'), '--loaders', join(dir, 'loaders')]
  const at = ['--interface', `br0=${wire.at(0, 2)}`, '--status', `${wire.at(0, 2)}:9100`]
  const argv = ['netns', 'exec', wire.site, process.execPath, RACKWARD_MAIN, ...words, ...own, ...at]
  const child = spawn('ip', argv, { stdio: ['ignore', 'pipe', 'pipe'] })
  const log = createWriteStream(join(dir, 'room.log'), { flags: 'a' })
  child.stdout.pipe(log, { end: false })
  child.stderr.pipe(log, { end: false })
  rooms = [...rooms, child]
  return child
}

/** What /readyz of the room says; rejects where the room has ended. */
async function roomIs(child: ChildProcess, state: string): Promise<Record<string, unknown>> {
  return until(
    async () => {
      if (child.exitCode !== null) throw new Error(`the room ended:\n${await readFile(join(dir, 'room.log'), 'utf8')}`)
      const answer = await fetch(`http://${wire.at(0, 2)}:9100/readyz`).catch(() => undefined)
      const report = (await answer?.json()) as Record<string, unknown> | undefined
      return report?.state === state ? report : undefined
    },
    { ...WAIT, what: `the room to be ${state}` },
  )
}

/** As a server's firmware. Answers what of it went another way than to the ramdisk. */
async function boots(): Promise<string> {
  const signal = AbortSignal.timeout(90_000)
  const measures = new Measures()
  const booted = await bootOverNetwork(MAC, { relay, clock: systemClock, measures }, signal)
  if (booted.kind !== 'ramdisk') return booted.kind
  const at = { localAddress: booted.ip, signal, measures }
  for (const [name, bytes] of [
    ['kernel', KERNEL],
    ['initrd', INITRD],
  ] as const) {
    const text = await fetchText(`http://${wire.at(0, 2)}:8080/ramdisk/${name}`, at)
    if (!Buffer.from(text, 'latin1').equals(bytes)) return `another ${name}`
  }
  return `ramdisk at ${booted.ip}, token of ${/~([a-z0-9-]+)/.exec(booted.cmdline)?.[1] ?? 'nobody'}`
}

test('a server boots through a room, and goes on doing so without a conductor and after a restart of the room', async () => {
  const roomPort = await freePort(wire.at(0, 1))
  victim = await conductor(roomPort)
  const made = await cli(
    'room',
    'add',
    'r1',
    '--segment',
    'rack1',
    '--out',
    join(dir, 'r1.json'),
    '--server',
    victim.base,
  )
  expect([made.code, made.stderr]).toEqual([0, ''])
  const room = startRoom(roomPort)
  await roomIs(room, 'fresh')

  const node = { name: 'n1', driver: 'ipmi', driver_info: bmc.driverInfo() }
  const { uuid } = (await victim.call('POST', '/v1/nodes', node)).body as { uuid: string }
  const port = { node_uuid: uuid, address: MAC, physical_network: 'rack1' }
  expect((await victim.call('POST', '/v1/ports', port)).status).toBe(201)
  const isIn = async (wanted: string) => {
    const answer = await victim?.call('GET', `/v1/nodes/${uuid}`)
    return (answer?.body as { provision_state?: string } | undefined)?.provision_state === wanted
  }
  for (const [target, state] of [
    ['manage', 'manageable'],
    ['inspect', 'inspect wait'],
  ] as const) {
    expect((await victim.call('PUT', `/v1/nodes/${uuid}/states/provision`, { target })).status).toBe(202)
    await until(() => isIn(state), { ...WAIT, what: `the node to be ${state}` })
  }
  const whole = `ramdisk at ${wire.at(0, 100)}, token of r1`
  expect(await boots()).toBe(whole)
  // What the room saw is in the journal of the conductor.
  const steps = async () => {
    const page = await victim?.call('GET', `/rackward/v1/events?node=${uuid}&kinds=seen&limit=1000`)
    const { events = [] } = (page?.body ?? {}) as { events?: { detail: { step: string } }[] }
    return events.map(({ detail }) => detail.step)
  }
  await until(async () => (await steps()).includes('initrd'), { ...WAIT, what: 'the steps of the boot' })
  expect(await steps()).toEqual(['dhcp', 'loader', 'ipxe-dhcp', 'script', 'kernel', 'initrd'])

  await victim.end('SIGKILL')
  await roomIs(room, 'away')
  expect(await boots()).toBe(whole)

  await end(room, 'SIGTERM')
  const again = startRoom(roomPort)
  await roomIs(again, 'away')
  expect(await boots()).toBe(whole)

  await victim.restart()
  await roomIs(again, 'fresh')
  const { stdout } = await cli('room', 'list', '--server', victim.base)
  expect(stdout).toMatch(/r1 +connected +rack1/)
  const at = ['--server', victim.base]
  const renewed = await cli('room', 'renew', 'r1', '--out', join(dir, 'renewed.json'), ...at)
  expect([renewed.code, renewed.stderr]).toEqual([0, ''])
  expect((await cli('room', 'remove', 'r1', ...at)).code).toBe(0)
  expect((await cli('room', 'list', ...at)).stdout).not.toContain('r1')
}, 240_000)
