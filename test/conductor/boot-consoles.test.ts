/** The consoles of servers that boot: what they say becomes signs, and they give way. */
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { PassThrough } from 'node:stream'
import { expect, test } from 'vitest'
import { BmcAccess } from '../../conductor/config-bmc.ts'
import { BmcQueue } from '../../conductor/bmc/queue.ts'
import { BmcRegistry } from '../../conductor/bmc/registry.ts'
import { CipherSuites } from '../../conductor/bmc/suites.ts'
import { performer } from '../../conductor/node/run/perform.ts'
import { BootConsoles } from '../../conductor/node/run/boot-consoles.ts'
import { Sightings } from '../../conductor/node/query/sightings.ts'
import { newNode } from '../../conductor/node/record.ts'
import { systemClock, until, type Clock } from '../../kit/clock.ts'
import { systemRandom } from '../../kit/random.ts'
import { run, type Piped } from '../../kit/run.ts'
import { startSim } from '../fake/sim.ts'

interface Line extends Piped {
  readonly stdout: PassThrough
  isOver: boolean
  readonly asked: string[]
}

/** `isDeaf`: sessions that end by being killed alone. */
function bench(limit: number, { isDeaf = false, clock = systemClock } = {}) {
  const sightings = new Sightings()
  const lines: Line[] = []
  const opened: boolean[] = []
  const deactivated: number[] = []
  let refusals = 0
  const refuse = (times: number): void => void (refusals = times)
  const open = () => {
    if (refusals > 0) {
      refusals -= 1
      return Promise.reject(new Error('the BMC gives no console now'))
    }
    let over = (): void => undefined
    const done = new Promise<void>((resolve) => (over = resolve))
    const end = (how: string) => () => {
      made.asked.push(how)
      if (isDeaf && how === 'end') return
      made.isOver = true
      over()
    }
    const made = {
      stdin: new PassThrough(),
      stdout: new PassThrough(),
      done,
      end: end('end'),
      stop: end('stop'),
      isOver: false,
      asked: [] as string[],
    }
    lines.push(made)
    return Promise.resolve(made)
  }
  const bmc = {
    console: (steal: boolean) => {
      opened.push(steal)
      return open()
    },
    endConsole: async () => void deactivated.push(lines.length),
  }
  const bmcQueue = {
    run: (_: unknown, __: unknown, work: (bmc: unknown, signal: AbortSignal) => unknown) =>
      work(bmc, new AbortController().signal),
  }
  const parts = { bmcs: { target: () => ({}) }, bmcQueue, sightings, clock, limit, longestMs: 600_000 }
  const consoles = new BootConsoles(parts as unknown as ConstructorParameters<typeof BootConsoles>[0])
  const begin = (uuid: string) => {
    sightings.booting(uuid, clock.now())
    return consoles.begin(newNode({ uuid, driver: 'ipmi' }, 0))
  }
  return { sightings, lines, opened, deactivated, consoles, begin, refuse }
}
const clock = systemClock
const HASTE = 50
const beganMs = clock.now()
const hasty: Clock = {
  ...clock,
  now: () => beganMs + (clock.now() - beganMs) * HASTE,
  sleep: (ms, signal) => clock.sleep(ms / HASTE, signal),
  after: (ms, act) => clock.after(ms / HASTE, act),
}
const open = (lines: readonly { isOver: boolean }[]) => lines.filter(({ isOver }) => !isOver).length
const become = (what: string, is: () => boolean) => until(is, { what, timeoutMs: 20_000, everyMs: 20 })

test('what a console says is a sign of this boot, also when it comes in pieces; after the hello it is left', async () => {
  const { sightings, lines, begin } = bench(2)
  void begin('a')
  await become('the console', () => lines.length === 1)
  lines[0]?.stdout.write('>>Start PXE over IPv4.\r\n  PXE-E16: No va')
  lines[0]?.stdout.write('lid offer received.\r\n')
  await become('the sign', () => sightings.look('a').signs.has('says-no-offer'))
  expect(sightings.look('a').signs.get('says-no-offer')?.details).toEqual(['PXE-E16: No valid offer received.'])
  sightings.note('a', 'hello', { atMs: clock.now(), detail: '' })
  await become('the end of the session', () => open(lines) === 0)
})

test('a session in which nothing is said is opened again, each time after twice as long; one that says something stays', async () => {
  const pausesMs: number[] = []
  const noted: Clock = { ...hasty, sleep: (ms, signal) => (pausesMs.push(ms), hasty.sleep(ms, signal)) }
  const { sightings, lines, begin, consoles } = bench(2, { clock: noted })
  const sinceMs = hasty.now()
  void begin('a')
  const banner = '[SOL Session operational.  Use ~? for help]\r\n'
  for (let count = 1; count <= 4; count += 1) {
    await become(`session ${count}`, () => lines.length === count)
    // After 30, 60 and 120 s at the earliest.
    expect(hasty.now() - sinceMs).toBeGreaterThan(30_000 * (2 ** (count - 1) - 1))
    lines.at(-1)?.stdout.write(banner)
  }
  expect(open(lines)).toBe(1)
  lines.at(-1)?.stdout.write('>>Start PXE over IPv4.')
  await become('the sign', () => sightings.look('a').signs.has('says-network'))
  const toMs = hasty.now() + 90_000
  await become('a time of silence', () => hasty.now() > toMs)
  expect(lines).toHaveLength(4)
  // Between two of them, beside the looks at what is said: as little as possible is lost.
  expect(pausesMs.filter((ms) => ms !== 2_000)).toEqual([250, 250, 250])
  await consoles.stop()
})

test('a boot that is read already is read on, and who starts the server waits for its session, but not for long', async () => {
  const { lines, begin, consoles } = bench(2, { clock: hasty })
  let isOpen = false
  const begun = begin('a').then(() => (isOpen = true))
  await become('the console', () => lines.length === 1)
  expect(isOpen).toBe(false)
  lines[0]?.stdout.write('[SOL Session operational.  Use ~? for help]\r\n')
  await begun
  await consoles.begin(newNode({ uuid: 'a', driver: 'ipmi' }, 0))
  expect(lines).toHaveLength(1)
  const sinceMs = hasty.now()
  await begin('b')
  expect(hasty.now() - sinceMs).toBeGreaterThanOrEqual(2_500)
  expect(open(lines)).toBe(2)
  await consoles.stop()
})

test('the console of a ramdisk boot is asked for before the power, and of a reset after it', async () => {
  const order: string[] = []
  const note = (what: string) => () => Promise.resolve(void order.push(what))
  const run = (_: unknown, __: unknown, work: (bmc: unknown) => unknown) => work({ reset: note('reset') })
  const parts = {
    bmcs: { target: () => ({}) },
    bmcQueue: { prove: note('power'), run },
    consoles: { begin: note('console') },
  }
  const acting = performer(parts as unknown as Parameters<typeof performer>[0])
  const made = newNode({ uuid: 'a', driver: 'ipmi' }, 0)
  const node = { ...made, workflow: { ...made.workflow, phase: 'boot' as const } }
  const { signal } = new AbortController()
  await acting.perform({ do: 'power', to: 'power on' }, node, signal)
  await acting.perform({ do: 'reset' }, node, signal)
  expect(order).toEqual(['console', 'power', 'reset', 'console'])
})

test('a BMC that refuses a session while its server is off is asked again within a second', async () => {
  const pausesMs: number[] = []
  const noted: Clock = { ...hasty, sleep: (ms, signal) => (pausesMs.push(ms), hasty.sleep(ms, signal)) }
  const { lines, begin, consoles, refuse } = bench(2, { clock: noted })
  refuse(2)
  await begin('a')
  await become('the console', () => lines.length === 1)
  expect(pausesMs.slice(0, 2)).toEqual([250, 500])
  await consoles.stop()
})

test('no more consoles are read than the limit says, and one gives way to a user', async () => {
  const { lines, opened, begin, consoles } = bench(2)
  for (const uuid of ['a', 'b', 'c']) void begin(uuid)
  await become('two consoles', () => lines.length === 2)
  expect(open(lines)).toBe(2)
  await consoles.giveWay('a')
  expect(open(lines)).toBe(1)
  void begin('c')
  await become('the third', () => lines.length === 3)
  expect(open(lines)).toBe(2)
  await consoles.stop()
  expect(open(lines)).toBe(0)
  expect(lines.map(({ asked }) => asked)).toEqual([['end'], ['end'], ['end']])
  expect(opened).toEqual([false, false, false])
  void begin('d')
  await clock.sleep(50)
  expect(lines).toHaveLength(3)
})

test('a session that does not end is killed and ended at the BMC, and the user waits no longer than that', async () => {
  const { lines, begin, consoles, deactivated } = bench(2, { isDeaf: true })
  void begin('a')
  await become('the console', () => lines.length === 1)
  await consoles.giveWay('a')
  expect(lines[0]?.asked).toEqual(['end', 'stop'])
  expect(deactivated).toEqual([1])
}, 30_000)

test('a server that starts again is read anew, after its old session has ended, which says nothing of the new boot', async () => {
  const { sightings, lines, begin, consoles } = bench(1, { isDeaf: true })
  void begin('a')
  await become('the console', () => lines.length === 1)
  void begin('a')
  lines[0]?.stdout.write('PXE-E16: No valid offer received.\r\n')
  await clock.sleep(50)
  expect(lines).toHaveLength(1)
  await become('the second session', () => lines.length === 2)
  expect(lines[0]?.isOver).toBe(true)
  expect(sightings.look('a').signs.size).toBe(0)
  await consoles.stop()
}, 30_000)

test('a console that never stops talking is left', async () => {
  const { lines, begin } = bench(1)
  void begin('a')
  await become('the console', () => lines.length === 1)
  for (let i = 0; i < 5; i += 1) lines[0]?.stdout.write(Buffer.alloc(1024 * 1024, 'noise '))
  await become('the end of the session', () => open(lines) === 0)
})

test('at a BMC the session is ended, not only its process: a user has the console without stealing it', async () => {
  const machines: Socket[] = []
  const serial = createServer((socket) => {
    machines.push(socket)
    socket.on('error', () => undefined)
  })
  await new Promise<void>((resolve) => serial.listen(0, '127.0.0.1', resolve))
  const sim = await startSim(59, { serial: (serial.address() as AddressInfo).port })
  const suites = new CipherSuites({ clock, key: systemRandom.bytes(32) })
  const bmcs = new BmcRegistry({ run, clock, suites })
  const sightings = new Sightings()
  const consoles = new BootConsoles({
    bmcs,
    bmcQueue: new BmcQueue(clock),
    sightings,
    clock,
    limit: 1,
    longestMs: 60_000,
  })
  const driverInfo = { ipmi_address: sim.address, ipmi_username: 'admin', ipmi_password: 'secret' }
  const node = newNode({ uuid: 'a', driver: 'ipmi', driverInfo }, 0)
  let line: Piped | undefined
  try {
    sightings.booting('a', clock.now())
    void consoles.begin(node)
    await become('the sign', () => {
      for (const machine of machines) machine.write('PXE-E16: No valid offer received.\r\n')
      return sightings.look('a').signs.has('says-no-offer')
    })
    await consoles.giveWay('a')
    const opened = await bmcs.target(node).bmc.console(false, new AbortController().signal)
    line = opened
    let said = ''
    opened.stdout.on('data', (bytes: Buffer) => (said += bytes.toString()))
    await become('what the machine says', () => {
      for (const machine of machines) machine.write('for the user\r\n')
      return said.includes('for the user')
    })
  } finally {
    line?.stop()
    for (const machine of machines) machine.destroy()
    serial.close()
    await bmcs.close()
    await sim.stop()
  }
}, 60_000)

test('no console is read unless somebody says so', () => {
  expect(BmcAccess.parse({}).readBootConsoles).toBe(false)
})
