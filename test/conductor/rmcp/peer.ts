/** A session machine and a BMC without sockets: what passes between them can be lost, doubled, or another's. */
import { RmcpSession, type SessionOptions } from '../../../conductor/bmc/rmcp/session.ts'
import type { SessionMove } from '../../../conductor/bmc/rmcp/move.ts'
import { suiteOf, type Suite } from '../../../conductor/bmc/rmcp/suite.ts'
import { systemRandom } from '../../../kit/random.ts'
import type { RmcpBmc } from '../../fake/rmcp-bmc.ts'

export const STATUS = { netFn: 0, command: 1, data: [], isChange: false }
export const OFF = { netFn: 0, command: 2, data: [0], isChange: true }
export const WAITS_MS = [1_000, 2_000, 3_000]

export function machine({
  suite = 17,
  ...who
}: { suite?: number; username?: string; password?: string; privilege?: number; kg?: Buffer } = {}) {
  const options: SessionOptions = {
    who: { username: 'admin', password: 'secret', privilege: 4, ...who },
    suite: suiteOf(suite) as Suite,
    random: systemRandom,
    waitsMs: WAITS_MS,
  }
  return new RmcpSession(options)
}

export const failure = (move: SessionMove) => (move.do === 'fail' ? move.failure : move)

export interface Way {
  /** What reaches the BMC of the n-th datagram (from 1). */
  readonly there?: (bytes: Buffer, n: number) => readonly Buffer[]
  /** What reaches the console of the n-th answer. */
  readonly back?: (bytes: Buffer, n: number) => readonly Buffer[]
}

export class Passage {
  /** What was waited for in vain. */
  waitedMs = 0
  readonly sent: { readonly bytes: Buffer; readonly isChange: boolean }[] = []
  private answers = 0
  private readonly way: Required<Way>
  private readonly session: RmcpSession
  private readonly bmc: RmcpBmc

  constructor(session: RmcpSession, bmc: RmcpBmc, way: Way = {}) {
    this.session = session
    this.bmc = bmc
    this.way = { there: (bytes) => [bytes], back: (bytes) => [bytes], ...way }
  }

  /** Until the session wants something of its user. */
  follow(first: SessionMove): SessionMove {
    for (let move = first; ;) {
      if (move.do !== 'send' && move.do !== 'wait') return move
      move = this.onward(move)
    }
  }

  private onward(move: SessionMove & { do: 'send' | 'wait' }): SessionMove {
    if (move.do === 'send') {
      this.sent.push(move)
      for (const there of this.way.there(move.bytes, this.sent.length)) {
        const answer = this.bmc.respond(there)
        const back = answer ? this.way.back(answer, (this.answers += 1)) : []
        const taken = back.map((bytes) => this.session.received(bytes)).filter((next) => next !== undefined)
        if (taken.length > 1) throw new Error('one answer was taken twice')
        if (taken[0]) return taken[0]
      }
    }
    this.waitedMs += move.waitMs
    return this.session.timedOut()
  }
}
