/** The prober in a thread of its own: the messages between it and the agent's main loop. */
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { monotonicClock } from '../../kit/clock.ts'
import { systemRandom } from '../../kit/random.ts'
import type { Heartbeat, HeartbeatReply, SelfReport, ArbiterStatement } from '../protocol/heartbeat.ts'
import { identityFrom } from '../protocol/keys.ts'
import type { MemberRecord } from '../protocol/records.ts'
import { Prober, type ProberParts } from './prober.ts'

type Setup = Pick<ProberParts, 'role' | 'bootId' | 'planes' | 'watchdog' | 'self'> & {
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
  | { readonly got: 'failure'; readonly says: string }

export interface ProberLink {
  setMembers(members: readonly MemberRecord[]): void
  readonly setSelf: (self: SelfReport) => void
  sendHeartbeat(more: ArbiterStatement): void
  sendReply(to: string, ack: HeartbeatReply): void
  readonly onSlot: (poisoned: boolean) => void
  stop(): Promise<void>
}

/** Starts the thread; its end, other than by `stop`, is a failure of the agent. */
export async function startProber(
  setup: Setup,
  on: Pick<ProberParts, 'onHeartbeat' | 'onOrder' | 'onFailure'> & { onEnd: (why: string) => void },
): Promise<ProberLink> {
  const worker = new Worker(new URL(import.meta.url), { workerData: setup, name: 'mesh' })
  const post = (message: ToThread) => worker.postMessage(message)
  let stopping = false
  await new Promise<void>((resolve, reject) => {
    worker.once('error', reject)
    worker.on('message', (message: FromThread) => {
      if (message.got === 'ready') resolve()
      else if (message.got === 'heartbeat') on.onHeartbeat(message.heartbeat)
      else if (message.got === 'order') on.onOrder(message.order)
      else on.onFailure(message.says)
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
    sendReply: (to, ack) => post({ do: 'ack', to, ack }),
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
  const prober = new Prober({
    ...setup,
    identity: identityFrom(setup.name, setup.pem),
    clock: monotonicClock,
    random: systemRandom,
    onHeartbeat: (heartbeat) => say({ got: 'heartbeat', heartbeat }),
    onOrder: (order) => say({ got: 'order', order }),
    onFailure: (says) => say({ got: 'failure', says }),
  })
  await prober.start()
  parentPort?.on('message', (message: ToThread) => {
    if (message.do === 'members') prober.setMembers(message.members)
    else if (message.do === 'self') prober.setSelf(message.self)
    else if (message.do === 'heartbeat') prober.sendHeartbeat(message.more)
    else if (message.do === 'ack') prober.sendReply(message.to, message.ack)
    else if (message.do === 'slot') prober.onSlot(message.poisoned)
    else {
      prober.stop()
      parentPort?.close()
    }
  })
  say({ got: 'ready' })
}

if (!isMainThread && (workerData as { pem?: string } | null)?.pem !== undefined) await main(workerData as Setup)
