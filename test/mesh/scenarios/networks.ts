/** What happens to the networks between the machines. */
import { drop, flush, rackOf, type Scenario } from './shared.ts'

export const NETWORKS: readonly Scenario[] = [
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
    number: 16,
    says: 'its storage is lost, the rest is up: it stops its guests, is proven off, and they are moved',
    wanted: 'moved',
    inject: (lab, host) => lab.planes(host, ['storage'], 'down'),
    async heal(lab, host) {
      await lab.planes(host, ['storage'], 'up')
      await lab.powerOn(host)
    },
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
    number: 19,
    says: 'all but the storage plane is down: isolated, not dead',
    wanted: 'nothing',
    watchMs: 8_000,
    told: /has lost planes: it is cut off/,
    inject: (lab, host) => lab.planes(host, ['management', 'tenant'], 'down'),
    heal: (lab, host) => lab.planes(host, ['management', 'tenant'], 'up'),
  },
  {
    number: 119,
    says: 'where the policy says so, an isolated host is asked to stop its guests, is proven off, and they are moved',
    wanted: 'moved',
    told: /stopped its guests and agreed/,
    async inject(lab, host) {
      await lab.rackward(['mesh', 'policy', '--isolated', 'fence', '--why', 'a test'])
      await lab.planes(host, ['management', 'tenant'], 'down')
    },
    async heal(lab, host) {
      await lab.rackward(['mesh', 'policy', '--isolated', 'page', '--why', 'a test is over'])
      await lab.planes(host, ['management', 'tenant'], 'up')
      await lab.powerOn(host)
    },
  },
  {
    number: 115,
    says: 'where the policy says so, the instances of a host that lost its tenant plane are moved live',
    wanted: 'emptied',
    async inject(lab, host) {
      await lab.rackward(['mesh', 'policy', '--tenant-lost', 'drain', '--why', 'a test'])
      await lab.planes(host, ['tenant'], 'down')
    },
    async heal(lab, host) {
      await lab.rackward(['mesh', 'policy', '--tenant-lost', 'page', '--why', 'a test is over'])
      await lab.planes(host, ['tenant'], 'up')
      await lab.rackward(['mesh', 'maintenance', 'off', host.name])
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
      void (await lab.nft(
        host,
        'table inet fault { chain in { type filter hook input priority 0; iifname { "m", "s" } drop; }; }\n',
      )),
    heal: flush,
  },
  {
    number: 22,
    says: '30 % of the packets are lost on all planes of all hosts',
    wanted: 'nothing',
    watchMs: 20_000,
    async inject(lab) {
      for (const node of lab.hosts)
        await lab.nft(node, drop('oifname { "m", "s", "t" } numgen random mod 100 < 30 drop;'))
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
    inject: (lab, host) =>
      lab.part(
        host,
        lab.nodes.filter((node) => node !== host).filter((_, i) => i % 2 === 0),
      ),
    heal: flush,
  },
  {
    number: 26,
    says: 'the rack of some observers is cut off from it',
    wanted: 'nothing',
    watchMs: 8_000,
    inject: (lab, host) =>
      lab.part(
        host,
        lab.nodes.filter((node) => node.rack !== host.rack && node.rack === 'r3'),
      ),
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
]
