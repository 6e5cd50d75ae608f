/** What happens to a machine: power, hangs, reboots, its agent. */
import { AGENT, CONSUL, lasting, off, reaches, type Scenario } from './shared.ts'

export const MACHINES: readonly Scenario[] = [
  {
    number: 1,
    says: 'power cut, the BMC lives',
    daily: true,
    wanted: 'moved',
    inject: (lab, host) => lab.cutPower(host),
    heal: off,
  },
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
    says: 'the machine stops for 2 s and goes on',
    wanted: 'nothing',
    watchMs: 5_000,
    inject: (lab, host) => lab.pause(host, 2),
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
  {
    number: 9,
    says: 'the loop of its agent is blocked for 6 s: its probes go on in a thread of their own',
    wanted: 'nothing',
    watchMs: 3_000,
    async inject(lab, host) {
      const offs = (await lab.calls(host)).length
      const blockedMs = await lab.blockAgent(host, 6_000)
      if (blockedMs < 6_000) throw new Error(`it was blocked for ${blockedMs} ms alone`)
      if (!(await lab.calls(host)).slice(offs).every((line) => !line.startsWith('set power')))
        throw new Error('it was switched off')
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
    number: 12,
    says: 'Consul is stopped on a host',
    wanted: 'nothing',
    watchMs: 8_000,
    inject: (lab, host) => lab.signal(host, 'SIGTERM', CONSUL),
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
      await lasting(1_000)
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
]
