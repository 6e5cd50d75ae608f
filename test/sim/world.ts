/** What an arbiter's core asks of the simulated world. */
import type { World } from '../../host-agent/mesh/world.ts'
import type { SimBmc } from './bmc.ts'
import type { SimNode } from './node.ts'
import type { SimPdu } from './pdu.ts'
import type { SimRack } from './rack.ts'

export function worldOf(rack: SimRack, node: SimNode): World {
  const back =
    <T>(done: (value: T) => void) =>
    (value: T) =>
      node.defer(() => done(value))
  return {
    store: (ask, done) => rack.consul.store(node.name, ask, back(done)),
    readStore: (done) => rack.consul.readStore(node.name, back(done)),
    bmc: (ask, done) => {
      const bmc = rack.bmcs[rack.nodeOf(ask.host).index] as SimBmc
      if (ask.act === 'off') rack.oracle.offSent(node, rack.nodeOf(ask.host), bmc)
      bmc.ask(ask.act, ask, (answer) =>
        back(done)(
          answer.systemUuid === undefined
            ? answer
            : { ...answer, systemUuid: answer.systemUuid === ask.host ? '00000000-0000-0000-0000-000000000000' : '11111111-0000-0000-0000-000000000000' },
        ),
      )
    },
    device: (ask, done) => {
      const host = rack.nodeOf(ask.host)
      if (ask.act === 'off') rack.oracle.offSent(node, host)
      ;(rack.pdus[host.index] as SimPdu).ask(ask.act, ask, back(done))
    },
    deviceLevels: () => (rack.schedule.pdus ? ['L2'] : []),
    driver: (call, deadlineMs, done) => rack.cloud.ask(node.name, call, deadlineMs, back(done)),
    poison: (host, bootId, done) =>
      rack.engine.after(rack.engine.between(5, 300), () => {
        const ok = rack.storageOut === 0 && node.planeDown[1] === 0
        if (ok && bootId !== null) rack.poisoned.set(host, bootId)
        if (ok && bootId === null) rack.poisoned.delete(host)
        back(done)(ok)
      }),
    page: (page) => rack.oracle.paged(page),
    wall: () => new Date(1_700_000_000_000 + rack.engine.nowMs + rack.wallMs).toISOString(),
    now: () => rack.engine.nowMs,
  }
}
