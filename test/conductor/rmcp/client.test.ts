/** Our own IPMI client over real sockets: loss, forgeries from elsewhere, a full table, an end in the middle, and polls
 *  of many BMCs of which some are dead. */
import { createSocket } from 'node:dgram'
import { afterEach, describe, expect, test } from 'vitest'
import { ipmiInfo } from '../../../conductor/bmc/info.ts'
import { NativeIpmi, speaksNatively } from '../../../conductor/bmc/native-ipmi.ts'
import { PollLanes } from '../../../conductor/bmc/poll-lanes.ts'
import { BmcRegistry } from '../../../conductor/bmc/registry.ts'
import { CipherSuites } from '../../../conductor/bmc/suites.ts'
import { monotonicClock, systemClock, until } from '../../../kit/clock.ts'
import { Fault } from '../../../kit/fault.ts'
import { systemRandom } from '../../../kit/random.ts'
import type { Run } from '../../../kit/run.ts'
import { RmcpBmc } from '../../fake/rmcp-bmc.ts'

const signal = new AbortController().signal
const suites = () => new CipherSuites({ clock: systemClock, key: Buffer.alloc(32) })
const nativeOf = (lanes = 8) => ({
  clock: systemClock,
  monotonic: monotonicClock,
  random: systemRandom,
  lanes: new PollLanes(lanes),
})
const noProgram: Run = (argv) => Promise.reject(new Fault('run.missing', `${argv[0]} is not here`))

let servers: RmcpBmc[] = []
afterEach(async () => {
  for (const server of servers) await server.stop()
  servers = []
})
async function serve(options: Parameters<typeof RmcpBmc.start>[0] = {}): Promise<RmcpBmc> {
  const server = await RmcpBmc.start(options)
  servers.push(server)
  return server
}
const client = (server: RmcpBmc, more: Record<string, unknown> = {}, native = nativeOf()) => {
  const info = ipmiInfo(server.driverInfo({ ipmi_cipher_suite: 17, ...more }))
  const registry = new BmcRegistry({ run: noProgram, suites: suites() })
  const rest = registry.target({ uuid: 'n', driver: 'ipmi', driverInfo: server.driverInfo() }).bmc
  return new NativeIpmi(info, { native, suites: suites(), rest })
}

describe('the registry', () => {
  const target = (info: Record<string, unknown>, isNative = true) =>
    new BmcRegistry({ run: noProgram, suites: suites(), ...(isNative ? { native: nativeOf() } : {}) }).target({
      uuid: 'n',
      driver: 'ipmi',
      driverInfo: { ipmi_address: '10.0.0.1', ipmi_username: 'u', ipmi_password: 'p', ...info },
    }).bmc

  test('takes it where it works, and ipmitool for blades, other suites, and where it is configured', () => {
    expect(target({})).toBeInstanceOf(NativeIpmi)
    expect(target({ ipmi_cipher_suite: 3 })).toBeInstanceOf(NativeIpmi)
    expect(target({ ipmi_cipher_suite: 1 })).not.toBeInstanceOf(NativeIpmi)
    const blade = { ipmi_bridging: 'single', ipmi_target_channel: '7', ipmi_target_address: '0x82' }
    expect(target(blade)).not.toBeInstanceOf(NativeIpmi)
    expect(target({}, false)).not.toBeInstanceOf(NativeIpmi)
    expect(speaksNatively(ipmiInfo({ ipmi_address: '::1', ipmi_cipher_suite: 17 }))).toBe(true)
  })

  test('leaves raw requests, consoles and restarts of the BMC to ipmitool', async () => {
    const bmc = target({})
    await expect(bmc.raw([6, 1], signal)).rejects.toMatchObject({ code: 'run.missing' })
    await expect(bmc.resetController('cold', signal)).rejects.toMatchObject({ code: 'run.missing' })
    await expect(bmc.console(false, signal)).rejects.toMatchObject({ code: 'run.missing' })
  })
})

test('datagrams that are lost, both ways, are sent again; the command is carried out once', async () => {
  const server = await serve()
  server.takes = (count) => count % 3 !== 0
  server.answers = (bytes, count) => (count === 4 ? [] : [bytes, bytes])
  await client(server).setPower('on', signal)
  expect(server.power).toBe('on')
  expect(server.commands().filter((text) => text === '0 2 1')).toHaveLength(1)
}, 30_000)

test('what others send to its port is not taken for an answer', async () => {
  const server = await serve()
  const stranger = createSocket('udp4')
  await new Promise<void>((resolve) => stranger.bind(0, '127.0.0.1', resolve))
  let port = 0
  server.takes = () => true
  server.answers = (bytes) => {
    // From another port, before the true one: a refusal of each kind of message.
    for (const type of [0x11, 0x13, 0x15])
      for (let tag = 0; tag < 8; tag += 1)
        stranger.send(Buffer.from([6, 0, 255, 7, 6, type, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, tag, 0x0d]), port, '127.0.0.1')
    return [bytes]
  }
  server.onFrom = (from) => (port = from.port)
  await client(server).setPower('on', signal)
  expect(server.power).toBe('on')
  stranger.close()
})

test('finds the older suite after three refusals, and begins with it the next time', async () => {
  const server = await serve({ suites: [3] })
  const bmc = client(server, { ipmi_cipher_suite: undefined })
  await bmc.power(signal)
  const first = server.datagrams
  await bmc.power(signal)
  expect(first - (server.datagrams - first)).toBe(6)
})

test('a full table of sessions is a fault of its own, which may be tried again', async () => {
  const server = await serve({ sessions: 0 })
  await expect(client(server).power(signal)).rejects.toMatchObject({ code: 'bmc.sessions', retry: true })
})

test('an act that nobody wants any more ends at once, and leaves no session behind', async () => {
  const server = await serve()
  const abort = new AbortController()
  server.refuses = ({ netFn }) => {
    if (netFn === 0) abort.abort(new Fault('bmc.busy', 'something more urgent came'))
    return undefined
  }
  server.answers = (bytes, count) => (count === 6 ? [] : [bytes])
  await expect(client(server).power(abort.signal)).rejects.toMatchObject({ code: 'bmc.busy' })
  await until(() => server.sessions.size === 0, { what: 'the end of the session', timeoutMs: 20_000 })
})

test('power and identity come in one session', async () => {
  const server = await serve()
  expect(await client(server).identify(signal)).toEqual({
    power: 'off',
    systemUuid: '07c0ab89-6745-23a1-efcd-ab89674523a1',
  })
  expect(server.commands()).toEqual(['6 3b 4', '0 1', '6 37', '6 3c 1 0 0 0'])
})

test('IPv6, and names', async () => {
  const server = await serve({ address: '::1' })
  expect(await client(server).power(signal)).toBe('off')
  const named = await serve()
  expect(await client(named, { ipmi_address: 'localhost' }).power(signal)).toBe('off')
  await expect(client(named, { ipmi_address: 'no-such-bmc.invalid' }).power(signal)).rejects.toMatchObject({
    code: 'bmc.unreachable',
  })
})

test('an address that this machine has no route to is a BMC that cannot be reached', async () => {
  const server = await serve()
  // The kernel refuses to connect to it (EACCES), as it does without a route (ENETUNREACH).
  await expect(client(server, { ipmi_address: '255.255.255.255' }).power(signal)).rejects.toMatchObject({
    code: 'bmc.unreachable',
    message: expect.stringContaining('EACCES') as string,
  })
})

describe('polls', () => {
  test('of BMCs that were silent the last time hold up nobody else, however many they are', async () => {
    const native = nativeOf(4)
    const alive = await serve()
    const dead = await Promise.all(Array.from({ length: 4 }, () => serve()))
    for (const server of dead) server.takes = () => false
    const polls = dead.map((server) => client(server, {}, native).poll(signal))
    expect((await Promise.allSettled(polls)).every(({ status }) => status === 'rejected')).toBe(true)

    const again = Promise.allSettled(dead.map((server) => client(server, {}, native).poll(signal)))
    let isOver = false
    void again.then(() => (isOver = true))
    // One is enough: behind the others it would have come when they are over.
    expect(await client(alive, {}, native).poll(signal)).toBe('off')
    expect(isOver).toBe(false)
    await again
    // They come back as soon as they answer.
    for (const server of dead) server.takes = () => true
    expect(await client(dead[0] as RmcpBmc, {}, native).poll(signal)).toBe('off')
  }, 60_000)

  test('give way to what is more urgent, also when they have begun; nothing is held against the BMC', async () => {
    const server = await serve()
    server.takes = () => false
    const giveWay = new AbortController()
    const poll = client(server).poll(signal, giveWay.signal)
    await until(() => server.datagrams > 0, { what: 'the poll to begin', timeoutMs: 20_000, everyMs: 5 })
    giveWay.abort(new Fault('bmc.busy', 'something more urgent came'))
    await expect(poll).rejects.toMatchObject({ code: 'bmc.busy' })
  })
})
