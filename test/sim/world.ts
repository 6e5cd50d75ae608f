/** What an arbiter's core asks of the simulated world. */
import { isOver, type Incident } from '../../host-agent/protocol/records.ts'
import { KEYS } from '../../host-agent/protocol/records.ts'
import type { Change } from '../../host-agent/cluster/store.ts'
import type { Environment } from '../../host-agent/adapters/environment.ts'
import type { SimBmc } from './bmc.ts'
import type { SimNode } from './node.ts'
import type { SimPdu } from './pdu.ts'
import type { SimRack } from './rack.ts'

export function environmentOf(rack: SimRack, node: SimNode): Environment {
  const back =
    <T>(done: (value: T) => void) =>
    (value: T) =>
      node.defer(() => done(value))
  return {
    store: (ask, done) => {
      if (rack.options.liftsEarly) liftEarly(rack, node, ask.changes)
      rack.consul.store(node.name, ask, back(done))
    },
    readStore: (done) => rack.consul.readStore(node.name, back(done)),
    bmc: (ask, done) => {
      const bmc = rack.bmcs[rack.nodeOf(ask.host).index] as SimBmc
      if (ask.command === 'off') rack.oracle.offSent(node, rack.nodeOf(ask.host), { deadlineMs: ask.deadlineMs, bmc })
      bmc.ask(ask.command, ask, (answer) =>
        back(done)(
          answer.systemUuid === undefined
            ? answer
            : {
                ...answer,
                systemUuid:
                  answer.systemUuid === ask.host
                    ? '00000000-0000-0000-0000-000000000000'
                    : '11111111-0000-0000-0000-000000000000',
              },
        ),
      )
    },
    device: (ask, done) => {
      const host = rack.nodeOf(ask.host)
      if (ask.action === 'off') rack.oracle.offSent(node, host, ask)
      ;(rack.pdus[host.index] as SimPdu).ask(ask.action, ask, back(done))
    },
    deviceLevels: () => (rack.schedule.pdus ? ['L2'] : []),
    driver: (call, deadlineMs, done) => {
      if (call.call === 'start')
        rack.oracle.leaseOutlasts(node, deadlineMs, `the request to move ${call.order.instance}`)
      rack.cloud.ask(node.name, call, deadlineMs, back(done))
    },
    pill: (ask, deadlineMs, done) =>
      rack.storage.ask(
        ask,
        {
          by: `${node.name}/${node.boots}`,
          deadlineMs,
          reaches: () => rack.storage.out === 0 && node.planeDown[1] === 0,
        },
        back(done),
      ),
    alert: (alert) => rack.oracle.alerted(alert),
    wall: () => new Date(1_700_000_000_000 + rack.engine.nowMs + rack.wallMs).toISOString(),
    now: () => rack.engine.nowMs,
  }
}

/** As it was: before the store was even asked whether the incident may end. */
function liftEarly(rack: SimRack, node: SimNode, changes: readonly Change[]): void {
  for (const { key, value } of changes) {
    if (!key.startsWith(KEYS.incidents) || value === undefined || !isOver(value as Incident)) continue
    const { host, id } = value as Incident
    const at = {
      by: `${node.name} lifts`,
      deadlineMs: Number.POSITIVE_INFINITY,
      reaches: () => rack.storage.out === 0 && node.planeDown[1] === 0,
    }
    rack.storage.ask({ op: 'lift', host, incident: id }, at, () => undefined)
  }
}
