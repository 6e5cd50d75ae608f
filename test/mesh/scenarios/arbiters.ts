/** What happens to the arbiters and their Consul. */
import { until } from '../../../kit/clock.ts'
import type { LabNode } from '../lab.ts'
import { AGENT, CONSUL, flush, lasting, off, reaches, watched, type Scenario } from './shared.ts'

/** A host hangs, and the leader is killed as soon as the host is in one of these states. */
const leaderKilledAt = (states: readonly string[]): Pick<Scenario, 'inject' | 'heal'> => ({
  async inject(lab, host) {
    const leader = lab.remember('leader', await lab.leader())
    await lab.hang(host)
    await reaches(lab, host, states)
    await lab.signal(leader, 'SIGKILL', AGENT)
  },
  async heal(lab, host) {
    lab.start(lab.recall('leader'))
    await lab.powerOn(host)
  },
})

export const ARBITERS: readonly Scenario[] = [
  {
    number: 32,
    says: 'the leader is cut off from everybody',
    wanted: 'nothing',
    watchMs: 15_000,
    inject: async (lab) =>
      lab.planes(lab.remember('leader', await lab.leader()), ['management', 'storage', 'tenant'], 'down'),
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
          `table inet fault { chain out { type filter hook output priority 0; ip daddr { ${outside.join(', ')} } drop; }; chain in { type filter hook input priority 0; ip saddr { ${outside.join(', ')} } drop; }; }\n`,
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
    ...leaderKilledAt(['confirmed', 'fencing', 'fenced', 'evacuating', 'evacuated']),
  },
  {
    number: 134,
    says: 'the leader is killed while it evacuates',
    wanted: 'moved',
    ...leaderKilledAt(['fenced', 'evacuating', 'evacuated']),
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
      void lasting(30_000).then(() => lab.signal(leader, 'SIGCONT', AGENT))
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
      const calls = (await lab.calls(host)).length
      for (const arbiter of two) await lab.signal(arbiter, 'SIGSTOP', CONSUL)
      await until(async () => [...(await lab.readiness()).values()].every(({ leads }) => !leads), {
        what: 'the lease of the leader to end',
        timeoutMs: 60_000,
        everyMs: 300,
      })
      await lab.hang(host)
      await watched(lab, 10_000, async () => {
        if ((await lab.calls(host)).slice(calls).includes('set power 0'))
          throw new Error('it was switched off without a quorum')
      })
      for (const arbiter of two) await lab.signal(arbiter, 'SIGCONT', CONSUL)
    },
    heal: off,
  },
  {
    number: 81,
    says: 'all arbiters start at once while a host is dead',
    wanted: 'moved',
    async inject(lab, host) {
      for (const arbiter of lab.arbiters) await lab.signal(arbiter, 'SIGKILL', AGENT)
      await lab.hang(host)
      await lasting(2_000)
      for (const arbiter of lab.arbiters) lab.start(arbiter)
    },
    heal: off,
  },
]
