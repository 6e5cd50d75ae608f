/** The faults of hosts, planes, BMCs and arbiters that `npm run bench -- explain --only mesh` injects, and the code of
 *  the one cause that is true of each. */
import { readFile, writeFile } from 'node:fs/promises'
import type { LabNode, MeshLab } from '../mesh/lab.ts'
import { AGENT, bmcs, CONSUL, flush, rackOf } from '../mesh/scenarios/shared.ts'

export interface MeshFault {
  readonly name: string
  /** The code of `causes/table.ts`, and no other. */
  readonly truth: string
  /** Where it is told once it is over: the record of the incident, of the host, or of the mesh. */
  readonly record: 'incident' | 'host' | 'mesh'
  inject(lab: MeshLab, host: LabNode): Promise<unknown>
  heal(lab: MeshLab, host: LabNode): Promise<unknown>
}

const ALL = ['management', 'storage', 'tenant'] as const
const two = (lab: MeshLab) => lab.arbiters.slice(0, 2)

export const MESH_FAULTS: readonly MeshFault[] = [
  {
    name: 'host-power-lost',
    truth: 'host.power-lost',
    record: 'incident',
    inject: (lab, host) => lab.cutPower(host),
    heal: (lab, host) => lab.powerOn(host),
  },
  {
    name: 'host-hangs',
    truth: 'host.hangs',
    record: 'incident',
    inject: (lab, host) => lab.hang(host),
    heal: (lab, host) => lab.powerOn(host),
  },
  {
    name: 'host-agent-killed',
    truth: 'agent.lost',
    record: 'host',
    inject: (lab, host) => lab.signal(host, 'SIGKILL', AGENT),
    heal: async (lab, host) => lab.start(host),
  },
  {
    name: 'host-one-way-link',
    truth: 'host.unheard',
    record: 'host',
    inject: (lab, host) => lab.part(host, lab.arbiters),
    heal: flush,
  },
  {
    name: 'plane-management-cut',
    truth: 'plane.management',
    record: 'host',
    inject: (lab, host) => lab.planes(host, ['management'], 'down'),
    heal: (lab, host) => lab.planes(host, ['management'], 'up'),
  },
  {
    name: 'plane-storage-cut',
    truth: 'plane.storage',
    record: 'incident',
    inject: (lab, host) => lab.planes(host, ['storage'], 'down'),
    heal: async (lab, host) => {
      await lab.planes(host, ['storage'], 'up')
      await lab.powerOn(host)
    },
  },
  {
    name: 'plane-rack-switch-lost',
    truth: 'rack.silent',
    record: 'host',
    inject: (lab, host) => eachOf(rackOf(lab, host.rack), (node) => lab.planes(node, ALL, 'down')),
    heal: (lab, host) => eachOf(rackOf(lab, host.rack), (node) => lab.planes(node, ALL, 'up')),
  },
  {
    name: 'bmc-dead-with-its-host',
    truth: 'host.and-bmc-silent',
    record: 'incident',
    inject: async (lab, host) => {
      await lab.signalBmc(host, 'SIGSTOP')
      await lab.cutPower(host)
    },
    heal: async (lab, host) => {
      await lab.signalBmc(host, 'SIGCONT')
      await lab.powerOn(host)
    },
  },
  {
    name: 'bmc-wrong-password',
    truth: 'bmc.password',
    record: 'incident',
    inject: async (lab, host) => {
      const text = await readFile(bmcs(lab), 'utf8')
      lab.keep('bmcs', text)
      await writeFile(bmcs(lab), text.replace(new RegExp(`^(${host.name}:.*)secret`, 'm'), '$1wrong'))
      await lab.hang(host)
    },
    heal: async (lab, host) => {
      await writeFile(bmcs(lab), lab.kept('bmcs'))
      await lab.powerCycle(host)
    },
  },
  {
    name: 'bmc-ignores-off',
    truth: 'bmc.stays-on',
    record: 'incident',
    inject: async (lab, host) => {
      await lab.fault(host, 'bmc-stuck')
      await lab.hang(host)
    },
    heal: async (lab, host) => {
      await lab.clear(host, 'bmc-stuck')
      await lab.powerCycle(host)
    },
  },
  {
    name: 'arbiter-killed',
    truth: 'arbiter.silent',
    record: 'mesh',
    inject: async (lab) => {
      const leader = await lab.leader()
      const other = lab.arbiters.findLast((node) => node !== leader) as LabNode
      await lab.signal(lab.remember('arbiter', other), 'SIGKILL', AGENT)
    },
    heal: async (lab) => lab.start(lab.recall('arbiter')),
  },
  {
    name: 'arbiters-quorum-lost',
    truth: 'mesh.no-quorum',
    record: 'mesh',
    inject: (lab) => eachOf(two(lab), (node) => lab.signal(node, 'SIGSTOP', CONSUL)),
    heal: (lab) => eachOf(two(lab), (node) => lab.signal(node, 'SIGCONT', CONSUL)),
  },
]

const eachOf = (nodes: readonly LabNode[], act: (node: LabNode) => Promise<unknown>) => Promise.all(nodes.map(act))
