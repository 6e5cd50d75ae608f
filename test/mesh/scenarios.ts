/** Faults that are injected into a real mesh, by the numbers of the design's list, and what must come of each. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { until } from '../../kit/clock.ts'
import type { LabNode, MeshLab } from './lab.ts'

export interface Scenario {
  readonly number: number
  readonly says: string
  /** Part of `npm test` as well. */
  readonly daily?: boolean
  /** `nothing`: nobody is switched off and nothing is moved. `moved`: the host's instances run elsewhere, once. `not moved`: an incident, and no move. */
  readonly wanted: 'nothing' | 'moved' | 'not moved'
  /** How long it is watched, for what must not happen. */
  readonly watchMs?: number
  inject(lab: MeshLab, host: LabNode): Promise<void>
  /** Back to normal. */
  heal?(lab: MeshLab, host: LabNode): Promise<void>
  /** What a person must be told meanwhile. */
  readonly told?: RegExp
}

const off = async (lab: MeshLab, host: LabNode) => lab.powerOn(host)
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
const flush = async (lab: MeshLab, node: LabNode) => void (await lab.nft(node, 'flush ruleset\n'))
const stateOf = async (lab: MeshLab, host: LabNode) => (await lab.status()).hosts.find((one: { name: string }) => one.name === host.name)?.state as string
const reaches = (lab: MeshLab, host: LabNode, states: readonly string[]) =>
  until(async () => states.includes(await stateOf(lab, host).catch(() => '')), {
    what: `${host.name} to be ${states.join(' or ')}`,
    timeoutMs: 30_000,
    everyMs: 100,
  })
const bmcs = (lab: MeshLab) => join(lab.dir, 'bmcs.yaml')
const rackOf = (lab: MeshLab, rack: string) => lab.hosts.filter((node) => node.rack === rack)
const drop = (rule: string) =>
  `table inet fault { chain out { type filter hook output priority 0; ${rule} } chain in { type filter hook input priority 0; } }\n`
const CONSUL = /consul\0agent/
const AGENT = /main\.js\0agent/

export const SCENARIOS: readonly Scenario[] = [
  { number: 1, says: 'power cut, the BMC lives', daily: true, wanted: 'moved', inject: (lab, host) => lab.cutPower(host), heal: off },
  {
    number: 2,
    says: 'power cut, the BMC is dead too: the watchdog is the proof',
    wanted: 'moved',
    async inject(lab, host) {
      await lab.signalBmc(host, 'SIGSTOP')
      await lab.cutPower(host)
    },
    async heal(lab, host) {
      await lab.signalBmc(host, 'SIGCONT')
      await lab.powerOn(host)
    },
  },
  { number: 5, says: 'the machine hangs', wanted: 'moved', inject: (lab, host) => lab.hang(host), heal: off },
  {
    number: 6,
    says: 'the machine stops for 3 s and goes on',
    wanted: 'nothing',
    watchMs: 5_000,
    async inject(lab, host) {
      await lab.hang(host)
      await sleep(2_900)
      await lab.resume(host)
    },
  },
  {
    number: 8,
    says: 'the agent is killed, the machine lives',
    wanted: 'nothing',
    watchMs: 7_500,
    told: /its machine answers, its agent does not/,
    inject: (lab, host) => lab.signal(host, 'SIGKILL', AGENT),
    heal: async (lab, host) => lab.start(host),
  },
  { number: 12, says: 'Consul is stopped on a host', wanted: 'nothing', watchMs: 8_000, inject: (lab, host) => lab.signal(host, 'SIGTERM', CONSUL) },
  {
    number: 14,
    says: 'the management plane is down',

    wanted: 'nothing',
    watchMs: 8_000,
    inject: (lab, host) => lab.planes(host, ['management'], 'down'),
    heal: (lab, host) => lab.planes(host, ['management'], 'up'),
  },
  {
    number: 15,
    says: 'the tenant plane is down',
    wanted: 'nothing',
    watchMs: 8_000,
    inject: (lab, host) => lab.planes(host, ['tenant'], 'down'),
    heal: (lab, host) => lab.planes(host, ['tenant'], 'up'),
  },
  {
    number: 17,
    says: 'all planes are down, the BMC answers',
    wanted: 'moved',
    inject: (lab, host) => lab.planes(host, ['management', 'storage', 'tenant'], 'down'),
    async heal(lab, host) {
      await lab.planes(host, ['management', 'storage', 'tenant'], 'up')
      await lab.powerOn(host)
    },
  },
  {
    number: 20,
    says: 'nothing gets out of it on two of three planes',
    wanted: 'nothing',
    watchMs: 8_000,
    inject: async (lab, host) => void (await lab.nft(host, drop('oifname { "m", "s" } drop;'))),
    heal: flush,
  },
  {
    number: 21,
    says: 'nothing gets into it on two of three planes',
    wanted: 'nothing',
    watchMs: 8_000,
    inject: async (lab, host) =>
      void (await lab.nft(host, 'table inet fault { chain in { type filter hook input priority 0; iifname { "m", "s" } drop; } }\n')),
    heal: flush,
  },
  {
    number: 22,
    says: '30 % of the packets are lost on all planes of all hosts',
    wanted: 'nothing',
    watchMs: 20_000,
    async inject(lab) {
      for (const node of lab.hosts) await lab.nft(node, drop('oifname { "m", "s", "t" } numgen random mod 100 < 30 drop;'))
    },
    async heal(lab) {
      for (const node of lab.hosts) await flush(lab, node)
    },
  },
  {
    number: 25,
    says: 'half of the others cannot reach it',
    wanted: 'nothing',
    watchMs: 8_000,
    async inject(lab, host) {
      const half = lab.nodes.filter((node) => node !== host).filter((_, i) => i % 2 === 0)
      const addresses = half.flatMap((node) => (['management', 'storage', 'tenant'] as const).map((plane) => lab.address(node, plane)))
      await lab.nft(host, drop(`ip daddr { ${addresses.join(', ')} } drop;`))
    },
    heal: flush,
  },
  {
    number: 26,
    says: 'the rack of some observers is cut off from it',
    wanted: 'nothing',
    watchMs: 8_000,
    async inject(lab, host) {
      const others = lab.nodes.filter((node) => node.rack !== host.rack && node.rack === 'r3')
      const addresses = others.flatMap((node) => (['management', 'storage', 'tenant'] as const).map((plane) => lab.address(node, plane)))
      await lab.nft(host, drop(`ip daddr { ${addresses.join(', ')} } drop;`))
    },
    heal: flush,
  },
  {
    number: 27,
    says: 'the switch of a rack dies, its hosts live',
    daily: true,
    wanted: 'nothing',
    watchMs: 15_000,
    told: /silent and not fenced/,
    async inject(lab, host) {
      for (const node of rackOf(lab, host.rack)) await lab.planes(node, ['management', 'storage', 'tenant'], 'down')
    },
    async heal(lab, host) {
      for (const node of rackOf(lab, host.rack)) await lab.planes(node, ['management', 'storage', 'tenant'], 'up')
    },
  },
  {
    number: 32,
    says: 'the leader is cut off from everybody',
    wanted: 'nothing',
    watchMs: 15_000,
    inject: async (lab) => lab.planes(lab.remember('leader', await lab.leader()), ['management', 'storage', 'tenant'], 'down'),
    heal: (lab) => lab.planes(lab.recall('leader'), ['management', 'storage', 'tenant'], 'up'),
  },
  {
    number: 33,
    says: 'one arbiter and half of the hosts are parted from the others on the management plane',
    wanted: 'nothing',
    watchMs: 15_000,
    async inject(lab) {
      const inside = [lab.arbiters[0], ...lab.hosts.slice(0, 3)] as LabNode[]
      const outside = lab.nodes.filter((node) => !inside.includes(node)).map((node) => lab.address(node, 'management'))
      for (const node of inside)
        await lab.nft(
          node,
          `table inet fault { chain out { type filter hook output priority 0; ip daddr { ${outside.join(', ')} } drop; } chain in { type filter hook input priority 0; ip saddr { ${outside.join(', ')} } drop; } }\n`,
        )
    },
    async heal(lab) {
      for (const node of [lab.arbiters[0], ...lab.hosts.slice(0, 3)] as LabNode[]) await flush(lab, node)
    },
  },
  {
    number: 34,
    says: 'the leader is killed while it fences',
    daily: true,
    wanted: 'moved',
    async inject(lab, host) {
      const leader = lab.remember('leader', await lab.leader())
      await lab.hang(host)
      await reaches(lab, host, ['confirmed', 'fencing', 'fenced', 'evacuating', 'evacuated'])
      await lab.signal(leader, 'SIGKILL', AGENT)
    },
    async heal(lab, host) {
      lab.start(lab.recall('leader'))
      await lab.powerOn(host)
    },
  },
  {
    number: 134,
    says: 'the leader is killed while it evacuates',
    wanted: 'moved',
    async inject(lab, host) {
      const leader = lab.remember('leader', await lab.leader())
      await lab.hang(host)
      await reaches(lab, host, ['fenced', 'evacuating', 'evacuated'])
      await lab.signal(leader, 'SIGKILL', AGENT)
    },
    async heal(lab, host) {
      lab.start(lab.recall('leader'))
      await lab.powerOn(host)
    },
  },
  {
    number: 35,
    says: 'the leader is stopped for 30 s while it fences, and goes on',
    wanted: 'moved',
    async inject(lab, host) {
      const leader = lab.remember('leader', await lab.leader())
      await lab.hang(host)
      await reaches(lab, host, ['confirmed', 'fencing', 'fenced'])
      await lab.signal(leader, 'SIGSTOP', AGENT)
      void sleep(30_000).then(() => lab.signal(leader, 'SIGCONT', AGENT))
    },
    async heal(lab, host) {
      await lab.signal(lab.recall('leader'), 'SIGCONT', AGENT)
      await lab.powerOn(host)
    },
  },
  {
    number: 38,
    says: 'Consul has no quorum, and a host dies: nothing, and then it is moved',
    wanted: 'moved',
    async inject(lab, host) {
      const two = lab.arbiters.slice(0, 2)
      for (const arbiter of two) await lab.signal(arbiter, 'SIGSTOP', CONSUL)
      await sleep(12_000)
      await lab.hang(host)
      await sleep(10_000)
      if ((await lab.calls(host)).some((line) => line === 'set power 0')) throw new Error('it was switched off without a quorum')
      for (const arbiter of two) await lab.signal(arbiter, 'SIGCONT', CONSUL)
    },
    heal: off,
  },
  {
    number: 43,
    says: 'the password of the BMC is wrong: told, and the watchdog is the proof',
    wanted: 'moved',
    told: /is not fenced|cannot switch off/,
    async inject(lab, host) {
      lab.keep('bmcs', await readFile(bmcs(lab), 'utf8'))
      await writeFile(bmcs(lab), (await readFile(bmcs(lab), 'utf8')).replace(new RegExp(`^(${host.name}:.*)secret`, 'm'), '$1wrong'))
      await lab.hang(host)
    },
    async heal(lab, host) {
      await writeFile(bmcs(lab), lab.kept('bmcs'))
      await lab.powerCycle(host)
    },
  },
  {
    number: 44,
    says: 'the BMC takes OFF and does nothing',
    wanted: 'moved',
    async inject(lab, host) {
      await lab.fault(host, 'bmc-stuck')
      await lab.hang(host)
    },
    async heal(lab, host) {
      await lab.clear(host, 'bmc-stuck')
      await lab.powerCycle(host)
    },
  },
  {
    number: 45,
    says: 'the BMC says OFF while the host runs',

    wanted: 'nothing',
    watchMs: 8_000,
    inject: (lab, host) => lab.fault(host, 'bmc-lies'),
    heal: (lab, host) => lab.clear(host, 'bmc-lies'),
  },
  {
    number: 46,
    says: 'the BMC says OFF once, takes OFF and does nothing: one reading is no proof',
    wanted: 'moved',
    async inject(lab, host) {
      await lab.fault(host, 'bmc-stuck')
      await lab.fault(host, 'bmc-blip')
      await lab.hang(host)
    },
    async heal(lab, host) {
      await lab.clear(host, 'bmc-stuck')
      await lab.clear(host, 'bmc-blip')
      await lab.powerCycle(host)
    },
  },
  {
    number: 49,
    says: 'the BMCs of two hosts are mixed up: no power command goes to the other',
    wanted: 'moved',
    told: /belongs to another machine/,
    async inject(lab, host) {
      const other = lab.remember('other', lab.hosts.find((node) => node !== host) as LabNode)
      const text = await readFile(bmcs(lab), 'utf8')
      lab.keep('bmcs', text)
      lab.keep('calls', String((await lab.calls(other)).filter((line) => line === 'set power 0').length))
      const mixed = text
        .replace(new RegExp(`^${host.name}:`, 'm'), 'X:')
        .replace(new RegExp(`^${other.name}:`, 'm'), `${host.name}:`)
        .replace(/^X:/m, `${other.name}:`)
      await writeFile(bmcs(lab), mixed)
      await lab.hang(host)
    },
    async heal(lab, host) {
      await writeFile(bmcs(lab), lab.kept('bmcs'))
      const now = (await lab.calls(lab.recall('other'))).filter((line) => line === 'set power 0').length
      if (String(now) !== lab.kept('calls')) throw new Error('the other host was switched off')
      await lab.powerCycle(host)
    },
  },
  {
    number: 52,
    says: 'it is switched on again during its evacuation: the gate holds',
    wanted: 'moved',
    async inject(lab, host) {
      await lab.cutPower(host)
      await reaches(lab, host, ['fenced', 'evacuating', 'evacuated'])
      await lab.powerOn(host)
    },
  },
  {
    number: 53,
    says: 'it reboots faster than it is found dead: its instances start again in place',
    wanted: 'nothing',
    watchMs: 12_000,
    async inject(lab, host) {
      await lab.cutPower(host)
      await sleep(1_000)
      await lab.powerOn(host)
    },
  },
  {
    number: 67,
    says: 'a host that received instances dies as well',
    wanted: 'moved',
    async inject(lab, host) {
      await lab.cutPower(host)
      await reaches(lab, host, ['evacuated'])
      const [second] = [...(await lab.truth())].find(([id]) => id.startsWith(`${host.name}-vm`))?.[1] ?? []
      const next = lab.remember('second', lab.node(second as string))
      await lab.cutPower(next)
      await reaches(lab, next, ['evacuated'])
    },
    async heal(lab, host) {
      await lab.powerOn(host)
      await lab.powerOn(lab.recall('second'))
    },
  },
  {
    number: 74,
    says: 'maintenance is set just before it dies',
    daily: true,
    wanted: 'nothing',
    watchMs: 10_000,
    async inject(lab, host) {
      await lab.api('PUT', `/rackward/v1/mesh/hosts/${host.name}/hold`, { why: 'a test' })
      await lab.hang(host)
    },
    async heal(lab, host) {
      await lab.resume(host)
      await sleep(1_000)
      await lab.api('DELETE', `/rackward/v1/mesh/hosts/${host.name}/hold`)
    },
  },
  {
    number: 75,
    says: 'the conductor deploys it',
    wanted: 'nothing',
    watchMs: 8_000,
    async inject(lab, host) {
      await lab.api('PUT', `/rackward/v1/mesh/hosts/${host.name}/hold`, { kind: 'deploying', why: 'a deploy' })
      await lab.hang(host)
    },
    async heal(lab, host) {
      await lab.resume(host)
      await sleep(1_000)
      await lab.api('DELETE', `/rackward/v1/mesh/hosts/${host.name}/hold`)
    },
  },
  {
    number: 81,
    says: 'all arbiters start at once while a host is dead',
    wanted: 'moved',
    async inject(lab, host) {
      for (const arbiter of lab.arbiters) await lab.signal(arbiter, 'SIGKILL', AGENT)
      await lab.hang(host)
      await sleep(2_000)
      for (const arbiter of lab.arbiters) lab.start(arbiter)
    },
    heal: off,
  },
  {
    number: 84,
    says: 'disarmed, and a host dies: told, and nothing; armed again, it is moved',
    wanted: 'moved',
    async inject(lab, host) {
      await lab.api('PUT', '/rackward/v1/mesh/policy', { armed: false, why: 'a test' })
      await lab.hang(host)
      await sleep(8_000)
      if ((await lab.calls(host)).at(-1) === 'set power 0') throw new Error('it was switched off while the mesh was disarmed')
      await lab.api('PUT', '/rackward/v1/mesh/policy', { armed: true, why: 'a test' })
    },
    heal: off,
  },
  {
    number: 62,
    says: 'the answer to a move is lost: it is moved once',
    wanted: 'moved',
    async inject(lab, host) {
      await writeFile(join(lab.dir, 'cloud/mode-lost-ack'), '')
      await lab.cutPower(host)
    },
    async heal(lab, host) {
      await lab.clear({ ...host, dir: join(lab.dir, 'cloud') }, 'mode-lost-ack')
      await lab.powerOn(host)
    },
  },
  {
    number: 10,
    says: 'its processors are overloaded',
    wanted: 'nothing',
    watchMs: 10_000,
    async inject(lab, host) {
      for (let i = 0; i < 4; i += 1) await lab.inBackground(host, ['sh', '-c', 'while :; do :; done'])
    },
    heal: (lab, host) => lab.signal(host, 'SIGKILL', /while :; do :; done/),
  },
  {
    number: 16,
    says: 'its storage is lost, the rest is up: it stops its guests, is proven off, and they are moved',
    wanted: 'moved',
    inject: (lab, host) => lab.planes(host, ['storage'], 'down'),
    async heal(lab, host) {
      await lab.planes(host, ['storage'], 'up')
      await lab.powerOn(host)
    },
  },
]
