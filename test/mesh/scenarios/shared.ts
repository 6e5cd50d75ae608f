/** What scenarios of the real mesh are, and what they share. */
import { join } from 'node:path'
import { systemClock, until } from '../../../kit/clock.ts'
import type { LabNode, MeshLab } from '../lab.ts'

export interface Scenario {
  readonly number: number
  readonly says: string
  /** Part of `npm test` as well. */
  readonly daily?: boolean
  /** `nothing`: nobody is switched off and nothing is moved. `moved`: the host's instances run elsewhere, once.
   *  `emptied`: so they do, without an incident. */
  readonly wanted: 'nothing' | 'moved' | 'emptied'
  /** How long it is watched at least, for what must not happen. */
  readonly watchMs?: number
  inject(lab: MeshLab, host: LabNode): Promise<void>
  /** Back to normal. */
  heal?(lab: MeshLab, host: LabNode): Promise<void>
  /** What a person must be told meanwhile. */
  readonly told?: RegExp
}

/** Interval between two looks at what must not happen. */
const LOOK_MS = 500
/** Slowest pace at which an arbiter judges the hosts: one that does not lead does so once a second. */
const ROUND_MS = 1_000

/** Watches for what must not happen: for `watchMs`, which the limits of the mesh are measured in, and until the hosts
 *  were judged once for each second of it, by the leader if there is one. The time alone says nothing on a busy
 *  machine: the leader may not have run meanwhile. */
export async function watched(lab: MeshLab, watchMs: number, look: () => Promise<void>): Promise<void> {
  const endMs = performance.now() + watchMs
  const wanted = Math.ceil(watchMs / ROUND_MS)
  let last = await lab.readiness()
  let rounds = 0
  await until(
    async () => {
      await look()
      const now = await lab.readiness()
      const leading = [...now].filter(([, { leads }]) => leads)
      const more = (leading.length > 0 ? leading : [...now]).map(
        ([name, said]) => said.judged_rounds - (last.get(name)?.judged_rounds ?? said.judged_rounds),
      )
      rounds += Math.max(0, ...more)
      last = now
      return performance.now() >= endMs && rounds >= wanted
    },
    { what: `the leader to judge the hosts ${wanted} times`, timeoutMs: watchMs + 60_000, everyMs: LOOK_MS },
  )
}

export const off = (lab: MeshLab, host: LabNode): Promise<void> => lab.powerOn(host)
/** The length of a fault; nothing is waited for with it. */
export const lasting = (ms: number) => systemClock.sleep(ms)
export const flush = async (lab: MeshLab, node: LabNode) => void (await lab.nft(node, 'flush ruleset\n'))
export const stateOf = async (lab: MeshLab, host: LabNode) =>
  (await lab.status()).hosts.find((one: { name: string }) => one.name === host.name)?.state as string
export const reaches = (lab: MeshLab, host: LabNode, states: readonly string[]) =>
  until(async () => states.includes(await stateOf(lab, host).catch(() => '')), {
    what: `${host.name} to be ${states.join(' or ')}`,
    timeoutMs: 30_000,
    everyMs: 100,
  }).catch(async (error: Error) => {
    const { hosts, armed, reason } = await lab.status()
    throw new Error(
      `${error.message}: ${JSON.stringify({ armed, reason, host: hosts.find((one: { name: string }) => one.name === host.name) })}`,
    )
  })
export const bmcs = (lab: MeshLab) => join(lab.dir, 'bmcs.yaml')
export const rackOf = (lab: MeshLab, rack: string) => lab.hosts.filter((node) => node.rack === rack)
export const drop = (rule: string) =>
  `table inet fault { chain out { type filter hook output priority 0; ${rule} }; chain in { type filter hook input priority 0; }; }\n`
export const CONSUL = /consul\0agent/
export const AGENT = /main\.js\0agent/

/** Its heartbeat is there again, as the leader hears it. The bound covers a reset by the watchdog, after which a
 *  machine boots for 30 s. */
export const heard = (lab: MeshLab, host: LabNode) =>
  until(
    async () => {
      const hosts = ((await lab.status().catch(() => undefined))?.hosts ?? []) as {
        name: string
        last_heard_seconds: number | null
      }[]
      return (hosts.find(({ name }) => name === host.name)?.last_heard_seconds ?? 99) < 1
    },
    { what: `${host.name} to be heard`, timeoutMs: 60_000, everyMs: 200 },
  )
