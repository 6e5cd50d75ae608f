/** The process that serves pieces in the deploy ramdisk, as the agent starts it: what it can reach, what it serves, and
 *  what becomes of it. */
import { execFileSync } from 'node:child_process'
import { connect } from 'node:net'
import { mkdtemp, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import type { DoorParts } from '../../../host-agent/deploy/swarm/door.ts'
import { encodeFrame, FRAME, numbersBody } from '../../../host-agent/deploy/swarm/frames.ts'
import { PeerLink } from '../../../host-agent/deploy/swarm/peer-link.ts'
import { PeerProcess } from '../../../host-agent/deploy/swarm/peer-process.ts'
import { systemClock, until } from '../../../kit/clock.ts'
import { inCell } from '../../../kit/nobody.ts'
import { systemRandom } from '../../../kit/random.ts'
import { piped } from '../../../kit/run.ts'
import { ROOT } from '../../lab/root.ts'
import { IMAGE, index, KEY, neighbourAt, SELF, SIZE, ticket } from './tickets.ts'

/** Only root can make namespaces, and become nobody. */
const asRoot = test.runIf(process.getuid?.() === 0)
let dir = ''
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-cell-'))
  await build({
    entryPoints: [join(ROOT, 'host-agent/deploy/main.ts')],
    outfile: join(dir, 'agent.cjs'),
    bundle: true,
    platform: 'node',
    format: 'cjs',
    logLevel: 'error',
  })
}, 60_000)
afterAll(() => rm(dir, { recursive: true }))

const frame = (number: number) => Buffer.alloc(SIZE, number)

const parts = (held: readonly number[], asked: number[] = []): DoorParts => ({
  shelf: {
    after: (count, most) => held.slice(count, count + most),
    read: async (number) => {
      asked.push(number)
      return held.includes(number) ? { isRaw: false, bytes: frame(number) } : undefined
    },
  },
  self: () => ({ id: SELF, imageId: IMAGE, key: KEY, nowMs: 1_000_000 }),
  bytesPerSecond: () => undefined,
  clock: systemClock,
  random: systemRandom,
})

/** A door that is open; `words`, `program`: to run something else in the cell. */
async function opened(words: readonly string[] = ['peer'], program = join(dir, 'agent.cjs')) {
  const held = [1, 2, 3]
  const asked: number[] = []
  const door = new PeerProcess(parts(held, asked), (fd) => {
    const cell = { dir: join(dir, 'root'), node: process.execPath, program, words }
    const { argv, env } = inCell(cell)
    return piped(argv, env, [fd])
  })
  onTestFinished(() => door.close())
  const port = await door.listen('127.0.0.1')
  return { door, port, held, asked }
}

function reader(port: number) {
  const heard = { has: [] as number[], pieces: [] as [number, Buffer][], none: [] as number[], gone: 0 }
  const link = new PeerLink({
    neighbour: neighbourAt(port, ticket()),
    index,
    clock: systemClock,
    random: systemRandom,
    events: {
      ready: () => undefined,
      has: (pieces) => heard.has.push(...pieces),
      piece: (number, bytes) => heard.pieces.push([number, bytes]),
      none: (number) => heard.none.push(number),
      gone: () => (heard.gone += 1),
    },
  })
  return { heard, link }
}
const soon = (what: string, check: () => boolean | Promise<boolean>) =>
  until(check, { what, timeoutMs: 30_000, everyMs: 20 })

/** What runs in the cell of this test. */
async function inmates(): Promise<string[]> {
  const found: string[] = []
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name)))
    if ((await readlink(`/proc/${pid}/root`).catch(() => '')) === join(dir, 'root')) found.push(pid)
  return found
}

async function pidOf(): Promise<string> {
  const [pid] = await inmates()
  if (pid === undefined) throw new Error('there is no such process')
  return pid
}

/** What the process could become by what neighbours send: it says that it serves, and then does this. */
async function evil(name: string, deed: string): Promise<string> {
  const program = join(dir, `${name}.cjs`)
  const up = [...encodeFrame(FRAME.up, Buffer.alloc(0))].join()
  await writeFile(
    program,
    `process.setgroups([]); process.setgid(65534); process.setuid(65534)
    process.stdout.write(Buffer.from([${up}]))
    setInterval(() => undefined, 1000)
    ${deed}`,
  )
  return program
}

asRoot(
  'it serves what the agent holds, hears of new pieces, and counts what it sent',
  async () => {
    const { door, port, held } = await opened()
    const { heard, link } = reader(port)
    await soon('pieces', () => heard.has.length === 3)
    held.push(5)
    door.tell()
    await soon('a new piece', () => heard.has.includes(5))
    for (const number of [2, 5]) link.ask(number)
    await soon('two pieces', () => heard.pieces.length === 2)
    expect(heard.pieces).toEqual([
      [2, frame(2)],
      [5, frame(5)],
    ])
    link.ask(7)
    await soon('a refusal', () => heard.none.length === 1)
    await soon('its count', () => door.sentBytes === 2 * SIZE)
    await door.close()
    await soon('the end of the connection', () => heard.gone === 1)
  },
  60_000,
)

asRoot(
  'it is nobody, may become nobody else, and sees no file, no device and no network of the machine',
  async () => {
    const { door, port } = await opened()
    const pid = await pidOf()
    const status = await readFile(`/proc/${pid}/status`, 'utf8')
    expect(status).toMatch(/^Uid:\t65534\t65534\t65534\t65534$/m)
    expect(status).toMatch(/^Gid:\t65534\t65534\t65534\t65534$/m)
    expect(status).toMatch(/^Groups:\t ?$/m)
    for (const set of ['CapPrm', 'CapEff', 'CapInh', 'CapAmb'])
      expect(status).toMatch(new RegExp(`^${set}:\\t0+$`, 'm'))
    expect(status).toMatch(/^NoNewPrivs:\t1$/m)
    expect((await readdir(`/proc/${pid}/root/`)).sort()).toEqual(
      expect.arrayContaining(['agent.cjs', 'node', 'usr']) as string[],
    )
    for (const hidden of ['proc', 'dev', 'sys', 'run', 'tmp', 'etc'])
      expect(await readdir(`/proc/${pid}/root/`)).not.toContain(hidden)
    const interfaces = (await readFile(`/proc/${pid}/net/dev`, 'utf8')).split('\n').slice(2).filter(Boolean)
    expect(interfaces.map((line) => line.trim().split(':')[0])).toEqual(['lo'])
    for (const name of ['net', 'mnt', 'ipc', 'uts'])
      expect(await readlink(`/proc/${pid}/ns/${name}`)).not.toBe(await readlink(`/proc/self/ns/${name}`))
    expect(await readFile(`/proc/${pid}/limits`, 'utf8')).toMatch(/Max file size +0 +0/)
    // No descriptor of a file outside: pipes, sockets, and what Node.js itself makes.
    const fds = await readdir(`/proc/${pid}/fd`)
    const targets = await Promise.all(fds.map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => 'pipe:')))
    const own = (target: string) => /^(pipe:|socket:|anon_inode:|\/dev\/null)/.test(target) || target.startsWith(dir)
    expect(targets.filter((target) => !own(target))).toEqual([])
    const { heard } = reader(port)
    await soon('pieces', () => heard.has.length === 3)
    await door.close()
    await expect(pidOf()).rejects.toThrow('no such process')
    await expect(readdir(join(dir, 'root'))).resolves.toEqual([])
  },
  60_000,
)

asRoot(
  'when it dies, the door is shut, and the agent goes on',
  async () => {
    const { door } = await opened()
    expect(door.isOpen).toBe(true)
    execFileSync('kill', ['-9', await pidOf()])
    await soon('the door to shut', () => !door.isOpen)
    door.tell()
    door.renew()
    await door.close()
  },
  60_000,
)

asRoot(
  'what it starts ends with it, and the agent waits for none of it',
  async () => {
    // A session of its own is not in the group of the process, and holds its pipes.
    const deed = `require('node:child_process').spawn('/node', ['-e', 'setInterval(() => undefined, 1000)'], {
      detached: true, stdio: 'inherit' })`
    const { door } = await opened([], await evil('forks', deed))
    await soon('two processes', async () => (await inmates()).length === 2)
    await door.close()
    await soon('their end', async () => (await inmates()).length === 0)
  },
  60_000,
)

asRoot(
  'it cannot make up what it sent, nor keep the agent busy with that',
  async () => {
    const sent = [...encodeFrame(FRAME.sent, numbersBody([0xffff_ffff]))].join()
    const deed = `const one = Buffer.from([${sent}])
      const many = Buffer.concat(Array(5000).fill(one))
      const flood = () => process.stdout.write(many, flood)
      flood()`
    const { door } = await opened([], await evil('counts', deed))
    await soon('the door to shut', () => !door.isOpen)
    expect(door.sentBytes).toBe(0)
    await soon('its end', async () => (await inmates()).length === 0)
  },
  60_000,
)

asRoot(
  'it has nothing of the environment of the agent',
  async () => {
    process.env.RACKWARD_TEST_SECRET = 'hush'
    onTestFinished(() => void delete process.env.RACKWARD_TEST_SECRET)
    const { door } = await opened()
    const environment = await readFile(`/proc/${await pidOf()}/environ`, 'utf8')
    expect(environment.split('\0').map((one) => one.split('=')[0])).toEqual(['PATH', ''])
    expect(await readFile(`/proc/${await pidOf()}/oom_score_adj`, 'utf8')).toBe('1000\n')
    await door.close()
  },
  60_000,
)

test('one that is closed before it is there never is', async () => {
  const door = new PeerProcess(parts([1]), () => {
    throw new Error('it was started')
  })
  const listening = door.listen('127.0.0.1')
  await door.close()
  await expect(listening).rejects.toThrow('closed before it started')
  expect(door.isOpen).toBe(false)
})

asRoot(
  'one that cannot start says why',
  async () => {
    await expect(opened(['no-such-role'])).rejects.toThrow('ended')
  },
  60_000,
)

asRoot(
  'strangers reach nothing through it, and it survives them',
  async () => {
    const { door, port, asked } = await opened()
    const attacks = [
      Buffer.from('GET / HTTP/1.1\r\n\r\n'),
      encodeFrame(FRAME.get, numbersBody([1])),
      encodeFrame(FRAME.know, Buffer.from('{"id":"x"}')),
      encodeFrame(FRAME.have, numbersBody([7])),
      Buffer.from([FRAME.hello, 0xff, 0xff, 0xff, 0xff]),
      systemRandom.bytes(4_000),
    ]
    for (const bytes of attacks) {
      const socket = connect({ host: '127.0.0.1', port })
      let [isOver, got] = [false, 0]
      socket.on('error', () => undefined)
      socket.on('data', (chunk: Buffer) => (got += chunk.length))
      socket.once('close', () => (isOver = true))
      socket.write(bytes)
      await soon('the end', () => isOver)
      expect(got).toBe(0)
    }
    expect(asked).toEqual([])
    const { heard } = reader(port)
    await soon('pieces', () => heard.has.length === 3)
    await door.close()
  },
  60_000,
)
