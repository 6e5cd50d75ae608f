/** One interactive `ipmipower` child: asks the power of a group of BMCs with the same credentials, one round at a time.
 *  It is started when it is needed, and ended after idling. */
import { isIPv6 } from 'node:net'
import type { Clock } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'
import type { Piped } from '../../kit/run.ts'
import type { IpmiInfo } from './controller.ts'
import type { Power } from './controller.ts'

export type Launch = (argv: readonly string[]) => Piped

export interface Question {
  readonly info: IpmiInfo
  readonly suite: number
  /** It is being asked now. */
  readonly begun: () => void
  /** What ipmipower said of its BMC. */
  readonly answer: (said: string) => void
  readonly resolve: (power: Power) => void
  readonly reject: (error: Error) => void
}

const SESSION_MS = 3_000
const RETRANSMIT_MS = 500
/** A round that is not over by then: the child hangs, whatever the BMCs do. */
const ROUND_MS = SESSION_MS + 4_000
const IDLE_MS = 5 * 60_000
const ARGV = [
  'ipmipower',
  '-D',
  'LAN_2_0',
  '-W',
  'opensesspriv',
  '--ping-interval=0',
  `--session-timeout=${SESSION_MS}`,
  `--retransmission-timeout=${RETRANSMIT_MS}`,
]

export class IpmipowerChild {
  private readonly launch: Launch
  private readonly clock: Clock
  private child: Piped | undefined
  private told = ''
  private rest = ''
  private stopIdling: () => void = () => undefined
  private onLine: (line: string) => void = () => undefined
  private onEnd: (error: Error) => void = () => undefined
  busy = false

  constructor(launch: Launch, clock: Clock) {
    this.launch = launch
    this.clock = clock
  }

  /** Asks them all, each address once. Never rejects: each question gets its own answer. */
  round(group: string, questions: readonly Question[]): Promise<void> {
    const open = new Map(questions.map((question) => [question.info.address, question]))
    this.busy = true
    this.stopIdling()
    return new Promise((resolve) => {
      const finish = (error: Error) => {
        cancel()
        for (const question of open.values()) question.reject(error)
        open.clear()
        this.onLine = () => undefined
        this.onEnd = () => undefined
        this.busy = false
        // A child that has nothing to do for long is ended.
        this.stopIdling = this.clock.after(IDLE_MS, () => this.kill())
        resolve()
      }
      const cancel = this.clock.after(ROUND_MS, () => {
        this.kill()
        finish(new Fault('run.timeout', 'ipmipower did not end its round in time'))
      })
      this.onEnd = finish
      this.onLine = (line) => {
        const [, address = '', said = ''] = /^(\S+): (.+)$/.exec(line) ?? []
        const question = open.get(address)
        if (!question) return
        open.delete(address)
        question.answer(said)
        if (open.size === 0) finish(new Error('unused'))
      }
      try {
        this.say(group, questions[0] as Question, [...open.values()].map(({ info }) => hostText(info)).join(','))
      } catch (error) {
        this.kill()
        finish(error as Error)
      }
    })
  }

  stop(): void {
    this.kill()
    this.onEnd(new Fault('bmc.busy', 'the conductor stops'))
    this.stopIdling()
  }

  private say(group: string, { info, suite }: Question, hosts: string): void {
    const child = this.started()
    const lines = [`hostname ${hosts}`, 'stat', '']
    if (this.told !== group) {
      const kg = info.kgKeyHex ? `k_g 0x${info.kgKeyHex}` : 'k_g'
      lines.unshift(
        `username ${info.username}`,
        `password ${info.password}`,
        kg,
        `privilege-level ${info.privilege}`,
        `cipher-suite-id ${suite}`,
      )
      this.told = group
    }
    child.stdin.write(lines.join('\n'))
  }

  private started(): Piped {
    if (this.child) return this.child
    const child = this.launch(ARGV)
    this.child = child
    this.told = ''
    this.rest = ''
    child.stdin.on('error', () => undefined)
    child.stdout.on('data', (chunk: Buffer | string) => {
      const lines = (this.rest + chunk.toString()).split('\n')
      this.rest = lines.pop() ?? ''
      for (const line of lines) this.onLine(line.replace(/^(ipmipower> )+/, '').trim())
    })
    const gone = (error: unknown) => {
      if (this.child !== child) return
      this.child = undefined
      this.onEnd(error instanceof Error ? error : new Fault('run.failed', 'ipmipower ended'))
    }
    child.done.then(gone, gone)
    return child
  }

  private kill(): void {
    this.child?.stop()
    this.child = undefined
  }
}

/** As ipmipower reads it. */
const hostText = ({ address, port }: IpmiInfo): string => `${isIPv6(address) ? `[${address}]` : address}:${port}`
