/** `rackward simulate` says at once what it lacks, listens where it was told to and nowhere else, and leaves nothing
 *  behind when it is interrupted. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:https'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { dice } from '../../../cli/simulate/dice.ts'
import { Measures } from '../../../cli/simulate/measures.ts'
import { RedfishBmcs } from '../../../cli/simulate/redfish-bmcs.ts'
import { Relay } from '../../../cli/simulate/relay.ts'
import { Server } from '../../../cli/simulate/server.ts'
import { ServerTimes } from '../../../cli/simulate/times.ts'
import { systemClock, until, type Clock } from '../../../kit/clock.ts'
import { systemRandom } from '../../../kit/random.ts'
import { isRunning, run } from '../../../kit/run.ts'
import { freePort } from '../../kit/free-port.ts'
import { RACKWARD_MAIN } from '../../lab/root.ts'
import { Victim } from '../../security/victim.ts'

const SIMULATE = [process.execPath, RACKWARD_MAIN, 'simulate'] as const

async function ownDir(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'rackward-ends-'))
  onTestFinished(() => rm(dir, { recursive: true, force: true }))
  return dir
}

test('with too few descriptors it says how many it needs', async () => {
  const { code, stderr } = await run(['prlimit', '--nofile=256:256', ...SIMULATE, '--nodes', '100'], {
    timeoutMs: 60_000,
  })
  expect([code, stderr]).toEqual([1, expect.stringMatching(/100 servers need 400 open files.*256.*ulimit -n/)])
})

test('where no network namespace can be made it says what to do', async () => {
  const dir = await ownDir()
  await writeFile(join(dir, 'unshare'), '#!/bin/sh\necho "unshare failed: Operation not permitted" >&2\nexit 1\n')
  await chmod(join(dir, 'unshare'), 0o755)
  const { code, stderr } = await run([...SIMULATE, '--nodes', '1'], { timeoutMs: 60_000, env: { PATH: dir } })
  expect([code, stderr]).toEqual([1, expect.stringMatching(/Operation not permitted.*run it as root.*--conductor/)])
})

test.each([
  ['before its conductor has started', ''],
  ['while its servers boot', 'the conductor answers'],
])(
  'interrupted as by a terminal %s, it leaves no file and no process',
  async (_, said) => {
    const dir = await ownDir()
    // A group of its own: the interrupt comes to the program, and to the one that it started.
    const words = [RACKWARD_MAIN, 'simulate', '--nodes', '2', '--stay']
    const child = spawn(process.execPath, words, { detached: true, env: { ...process.env, TMPDIR: dir } })
    const pid = child.pid as number
    onTestFinished(() => void (isRunning(pid) && process.kill(-pid, 'SIGKILL')))
    let text = ''
    child.stderr.on('data', (chunk: Buffer) => (text += chunk.toString()))
    const hasBegun = async () => (await readdir(dir)).length > 0 && text.includes(said)
    await until(hasBegun, { what: 'the simulation', timeoutMs: 60_000, everyMs: 5 })
    const ended = once(child, 'exit')
    process.kill(-pid, 'SIGINT')
    const [code] = (await ended) as [number]
    expect([code, text]).toEqual([130, expect.not.stringContaining('Error')])
    expect(await readdir(dir)).toEqual([])
    const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
    const lines = await Promise.all(pids.map((one) => readFile(`/proc/${one}/cmdline`, 'utf8').catch(() => '')))
    expect(lines.filter((line) => line.includes(dir))).toEqual([])
  },
  120_000,
)

test.each([
  [[], 0],
  [['--keep-nodes'], 3],
])(
  'nodes that it enrolled at a conductor that stays are removed at its end, and no others (%j)',
  async (more, left) => {
    const victim = await Victim.start()
    onTestFinished(() => victim.remove())
    const before = await victim.call('POST', '/v1/nodes', { driver: 'fake-hardware', name: 'sim-stays' })
    expect(before.status).toBe(201)
    const ipmiPort = String(await freePort())
    // None of them boots anything: the nodes wait when the time is over.
    const words = ['--nodes', '3', '--bmc-ports', '--ipmi-port', ipmiPort, '--timeout', '3', ...more]
    const { code, stderr } = await run([...SIMULATE, '--conductor', victim.base, ...words], { timeoutMs: 110_000 })
    expect([code, stderr.includes('removing 3 nodes')]).toEqual([1, left === 0])
    const { nodes } = (await victim.call('GET', '/v1/nodes')).body as { nodes: { name: string }[] }
    expect(nodes).toHaveLength(left + 1)
    expect(nodes.map(({ name }) => name)).toContain('sim-stays')
  },
  120_000,
)

test('Redfish BMCs listen on their own addresses alone, and survive bodies that are no objects', async () => {
  const control = { isOn: true, bootFlags: Buffer.alloc(5), control: () => undefined }
  const bmc = { chassis: control, uuid: '5e000000-0000-4000-8000-000000000001', user: 'a', password: 'b', delayMs: 0 }
  const bmcs = new RedfishBmcs({ clock: systemClock, random: systemRandom, bmcAt: () => bmc })
  const port = await freePort()
  await bmcs.listenOn(['127.97.8.1', '127.97.8.2'], port)
  onTestFinished(() => bmcs.close())
  const post = async (host: string, body: string): Promise<number | undefined> => {
    const path = '/redfish/v1/SessionService/Sessions'
    const call = request({ host, port, path, method: 'POST', rejectUnauthorized: false, agent: false })
    call.end(body)
    const [response] = (await once(call, 'response')) as [{ statusCode?: number; resume: () => void }]
    response.resume()
    return response.statusCode
  }
  expect(await post('127.97.8.1', 'null')).toBe(401)
  expect(await post('127.97.8.2', '{"UserName":"a","Password":"b"}')).toBe(201)
  const stranger = connect({ host: '127.97.8.3', port })
  await expect(once(stranger, 'connect')).rejects.toThrow('ECONNREFUSED')
})

test('a server that was ended in the middle of a power cycle stays off', () => {
  const due: (() => void)[] = []
  const clock: Clock = {
    ...systemClock,
    sleep: () => new Promise(() => undefined),
    after: (_, callback) => {
      due.push(callback)
      return () => void due.splice(due.indexOf(callback), 1)
    },
  }
  const measures = new Measures()
  const relay = new Relay({ clock, address: '127.0.0.1', server: '127.0.0.1', port: 67, onAgain: () => undefined })
  const times = new ServerTimes({ speed: 1, rate: 1 }, dice(1), false)
  const about = { name: 's', mac: '02:00:00:00:00:01', uuid: '5e000000-0000-4000-8000-000000000001', fault: undefined }
  const server = new Server({ ...about, times }, { clock, measures, relay, random: systemRandom })
  server.control('on')
  server.control('cycle')
  expect(due).toHaveLength(1)
  server.end()
  for (const act of due) act()
  expect(server.isOn).toBe(false)
})

test('however long it goes on, its measures do not grow without end', () => {
  const measures = new Measures()
  for (let n = 0; n < 300_000; n += 1) measures.add('look', n)
  for (let n = 0; n < 1_000; n += 1) measures.count(`server ${n} failed`)
  expect(measures.phases()).toEqual([{ name: 'look', count: 300_000, medianMs: 250_000, longestMs: 299_999 }])
  expect(Object.keys(measures.happened())).toHaveLength(101)
  expect(measures.happened()['other events']).toBe(900)
  const { newest } = (measures as unknown as { times: Map<string, { newest: number[] }> }).times.get('look')!
  expect(newest).toHaveLength(100_000)
})
