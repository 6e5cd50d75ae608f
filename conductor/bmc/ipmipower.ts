/** Power of a whole fleet by interactive `ipmipower` children (FreeIPMI): one of them asks thousands of BMCs a second, where a process per
 *  question asks a hundred. Passwords go by its standard input. One child talks to one group of BMCs with the same credentials at a time; BMCs
 *  that did not answer the last time have a child of their own, so that they hold up nobody. */
import type { Clock } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'
import type { Piped } from '../../kit/run.ts'
import type { Fleet, IpmiInfo } from './ipmitool.ts'
import type { Power } from './port.ts'

export type Launch = (argv: readonly string[]) => Piped

const SESSION_MS = 3_000
const RETRANSMIT_MS = 500
/** A round that is not over by then: the child hangs. */
const ROUND_MS = SESSION_MS + 4_000
/** Children that share the groups, and the one for silent BMCs. */
const LANES = 3
const GATHER_MS = 5
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
/** Its command line splits at blanks and has no quotes. */
const PLAIN = /^[!-~]{0,20}$/

interface Question {
  readonly info: IpmiInfo
  readonly suite: number
  readonly resolve: (power: Power) => void
  readonly reject: (error: Error) => void
}

const sayable = (info: IpmiInfo): boolean => PLAIN.test(info.username) && PLAIN.test(info.password) && info.username !== '' && !info.address.includes('%')

export class Ipmipower implements Fleet {
  private readonly lanes: Lane[]
  private readonly suites: Map<string, number>
  private readonly silent = new Set<string>()

  /** `suites` is shared with ipmitool: address -> cipher suite that worked. */
  constructor(parts: { launch: Launch; clock: Clock; suites: Map<string, number> }) {
    this.suites = parts.suites
    this.lanes = Array.from({ length: LANES }, () => new Lane(parts.launch, parts.clock))
  }

  /** Whether its credentials can be said to ipmipower at all. */
  pollable = sayable

  /** Reads one power state; questions that come together are asked together. Throws bmc.* faults. */
  async power(info: IpmiInfo): Promise<Power> {
    const known = info.cipherSuite ?? this.suites.get(info.address)
    try {
      const power = await this.ask(info, known ?? 3)
      if (known === undefined) this.suites.set(info.address, 3)
      this.silent.delete(keyOf(info))
      return power
    } catch (error) {
      const fault = error as Fault
      if (fault.code === 'bmc.unreachable') this.silent.add(keyOf(info))
      // "BMC error" is what a BMC that does not know the suite is called.
      if (known !== undefined || fault.code !== 'bmc.refused') throw error
      const power = await this.ask(info, 17)
      this.suites.set(info.address, 17)
      return power
    }
  }

  stop(): void {
    for (const lane of this.lanes) lane.stop()
  }

  private ask(info: IpmiInfo, suite: number): Promise<Power> {
    const [forSilent, ...others] = this.lanes as [Lane, ...Lane[]]
    const group = groupOf(info, suite)
    const lane = this.silent.has(keyOf(info)) ? forSilent : (others[hash(group) % others.length] as Lane)
    return lane.ask(group, { info, suite })
  }
}

const keyOf = (info: IpmiInfo) => `${info.address}:${info.port}`
const groupOf = (info: IpmiInfo, suite: number) => JSON.stringify([info.username, info.password, info.privilege, info.kgKeyHex ?? '', suite])
const hash = (text: string) => [...text].reduce((sum, char) => (sum * 31 + char.charCodeAt(0)) >>> 0, 7)

class Lane {
  private readonly launch: Launch
  private readonly clock: Clock
  private readonly groups = new Map<string, Question[]>()
  private child: Piped | undefined
  private told = ''
  private busy = false
  private stopped = false
  private rest = ''
  private onLine: (line: string) => void = () => undefined
  private onEnd: (error: Error) => void = () => undefined

  constructor(launch: Launch, clock: Clock) {
    this.launch = launch
    this.clock = clock
  }

  ask(group: string, question: Pick<Question, 'info' | 'suite'>): Promise<Power> {
    return new Promise((resolve, reject) => {
      const waiting = this.groups.get(group) ?? []
      this.groups.set(group, [...waiting, { ...question, resolve, reject }])
      if (!this.busy) {
        this.busy = true
        void this.work()
      }
    })
  }

  stop(): void {
    this.stopped = true
    this.child?.stop()
    this.child = undefined
  }

  private async work(): Promise<void> {
    await this.clock.sleep(GATHER_MS)
    for (let next = this.take(); next && !this.stopped; next = this.take()) await this.round(next.group, next.questions)
    this.busy = false
  }

  /** One group, each address once: the answers name addresses without ports. */
  private take(): { group: string; questions: Question[] } | undefined {
    const first = this.groups.entries().next().value
    if (!first) return undefined
    const [group, waiting] = first
    const asked = new Set<string>()
    const [now, later]: [Question[], Question[]] = [[], []]
    for (const question of waiting) {
      const target = asked.has(question.info.address) ? later : now
      asked.add(question.info.address)
      target.push(question)
    }
    this.groups.delete(group)
    if (later.length > 0) this.groups.set(group, later)
    return { group, questions: now }
  }

  private round(group: string, questions: readonly Question[]): Promise<void> {
    const open = new Map(questions.map((question) => [question.info.address, question]))
    return new Promise((resolve) => {
      const finish = (error?: Error) => {
        cancel()
        for (const question of open.values()) question.reject(error ?? new Fault('bmc.timeout', `BMC ${question.info.address} was not asked to the end`))
        open.clear()
        this.onLine = () => undefined
        this.onEnd = () => undefined
        resolve()
      }
      const cancel = this.clock.after(ROUND_MS, () => {
        this.kill()
        finish()
      })
      this.onEnd = finish
      this.onLine = (line) => {
        const [, address = '', said = ''] = /^(\S+): (.+)$/.exec(line) ?? []
        const question = open.get(address)
        if (!question) return
        open.delete(address)
        settle(question, said)
        if (open.size === 0) finish()
      }
      try {
        this.say(group, questions[0] as Question, [...open.values()].map(({ info }) => `${info.address}:${info.port}`).join(','))
      } catch (error) {
        this.kill()
        finish(error as Error)
      }
    })
  }

  private say(group: string, { info, suite }: Question, hosts: string): void {
    const child = this.started()
    const lines = [`hostname ${hosts}`, 'stat', '']
    if (this.told !== group) {
      const kg = info.kgKeyHex ? `k_g 0x${info.kgKeyHex}` : 'k_g'
      lines.unshift(`username ${info.username}`, `password ${info.password}`, kg, `privilege-level ${info.privilege}`, `cipher-suite-id ${suite}`)
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

function settle({ info, resolve, reject }: Question, said: string): void {
  if (said === 'on' || said === 'off') return resolve(said)
  if (/timeout|not discovered|busy/.test(said)) return reject(new Fault('bmc.unreachable', `BMC ${info.address} did not answer (${said})`))
  if (/^(username|password|k_g) invalid/.test(said))
    return reject(new Fault('bmc.password', `BMC ${info.address} refused the user ${info.username} or its password`))
  return reject(new Fault('bmc.refused', `BMC ${info.address}: ${said.slice(0, 200)}`))
}
