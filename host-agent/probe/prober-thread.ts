/** The station in its own thread: the messages between it and the agent's main loop. */
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { monotonicClock } from '../../kit/clock.ts'
import { systemRandom } from '../../kit/random.ts'
import type { Heartbeat, HeartbeatReply, SelfReport, ArbiterStatement } from '../protocol/heartbeat.ts'
import { identityFrom } from '../protocol/keys.ts'
import type { MemberRecord } from '../protocol/records.ts'
import { Station, type StationParts } from './prober.ts'

type Setup = Pick<StationParts, 'role' | 'bootId' | 'planes' | 'watchdog' | 'self'> & {
  readonly name: string
  readonly pem: string
}

type ToThread =
  | { readonly do: 'members'; readonly members: readonly MemberRecord[] }
  | { readonly do: 'self'; readonly self: SelfReport }
  | { readonly do: 'heartbeat'; readonly more: ArbiterStatement }
  | { readonly do: 'ack'; readonly to: string; readonly ack: HeartbeatReply }
  | { readonly do: 'slot'; readonly poisoned: boolean }
  | { readonly do: 'stop' }
type FromThread =
  | { readonly got: 'ready' }
  | { readonly got: 'heartbeat'; readonly heartbeat: Heartbeat }
  | { readonly got: 'order'; readonly order: 'open gate' | 'stop guests' }
  | { readonly got: 'trouble'; readonly says: string }

export interface StationLink {
  setMembers(members: readonly MemberRecord[]): void
  setSelf(self: SelfReport): void
  sendHeartbeat(more: ArbiterStatement): void
  sendAck(to: string, ack: HeartbeatReply): void
  onSlot(poisoned: boolean): void
  stop(): Promise<void>
}

/** Starts the thread; its end, other than by `stop`, is a failure of the agent. */
export async function startStation(
  setup: Setup,
  on: Pick<StationParts, 'onHeartbeat' | 'onOrder' | 'onTrouble'> & { onEnd: (why: string) => void },
): Promise<StationLink> {
  const worker = new Worker(new URL(import.meta.url), { workerData: setup, name: 'mesh' })
  const post = (message: ToThread) => worker.postMessage(message)
  let stopping = false
  await new Promise<void>((resolve, reject) => {
    worker.once('error', reject)
    worker.on('message', (message: FromThread) => {
      if (message.got === 'ready') resolve()
      else if (message.got === 'heartbeat') on.onHeartbeat(message.heartbeat)
      else if (message.got === 'order') on.onOrder(message.order)
      else on.onTrouble(message.says)
    })
    worker.once('exit', (code) => {
      if (!stopping) on.onEnd(`the probing thread ended with ${code}`)
    })
  })
  worker.on('error', (error) => on.onEnd(error.message))
  return {
    setMembers: (members) => post({ do: 'members', members }),
    setSelf: (self) => post({ do: 'self', self }),
    sendHeartbeat: (more) => post({ do: 'heartbeat', more }),
    sendAck: (to, ack) => post({ do: 'ack', to, ack }),
    onSlot: (poisoned) => post({ do: 'slot', poisoned }),
    async stop() {
      stopping = true
      const ended = new Promise((resolve) => worker.once('exit', resolve))
      post({ do: 'stop' })
      await ended
    },
  }
}

async function main(setup: Setup): Promise<void> {
  const say = (message: FromThread) => parentPort?.postMessage(message)
  const station = new Station({
    ...setup,
    identity: identityFrom(setup.name, setup.pem),
    clock: monotonicClock,
    random: systemRandom,
    onHeartbeat: (heartbeat) => say({ got: 'heartbeat', heartbeat }),
    onOrder: (order) => say({ got: 'order', order }),
    onTrouble: (says) => say({ got: 'trouble', says }),
  })
  await station.start()
  parentPort?.on('message', (message: ToThread) => {
    if (message.do === 'members') station.setMembers(message.members)
    else if (message.do === 'self') station.setSelf(message.self)
    else if (message.do === 'heartbeat') station.sendHeartbeat(message.more)
    else if (message.do === 'ack') station.sendAck(message.to, message.ack)
    else if (message.do === 'slot') station.onSlot(message.poisoned)
    else {
      station.stop()
      parentPort?.close()
    }
  })
  say({ got: 'ready' })
}

if (!isMainThread && (workerData as { pem?: string } | null)?.pem !== undefined) await main(workerData as Setup)
