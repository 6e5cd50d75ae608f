/** Power of a whole fleet by interactive `ipmipower` children (FreeIPMI): one of them asks thousands of BMCs a second,
 *  where a process per question asks a hundred. Passwords go by its standard input. A child asks BMCs with the same
 *  credentials at a time, so that there are several children; BMCs that did not answer the last time have children of
 *  their own and hold up nobody. */
import type { Clock } from '../../kit/clock.ts'
import { Fault, isFault } from '../../kit/fault.ts'
import { printable } from '../../kit/text.ts'
import type { Fleet } from './ipmitool.ts'
import { IpmipowerChild, type Launch, type Question } from './ipmipower-child.ts'
import type { IpmiInfo, Power } from './controller.ts'
import { SilentBmcs } from './silent.ts'
import type { CipherSuites } from './suites.ts'

const GATHER_MS = 5
/** Its command line splits at blanks and has no quotes. */
const PLAIN = /^[!-~]{0,20}$/
/** What FreeIPMI calls a BMC that does not know the suite. */
const NO_SUCH_SUITE = /^(BMC error|cipher suite id unavailable)/

export interface FleetParts {
  readonly launch: Launch
  readonly clock: Clock
  readonly suites: CipherSuites
  /** Children for BMCs that answer; a quarter as many again for those that do not. */
  readonly children: number
  /** BMCs of one round, whose time is limited. */
  readonly perRound: number
}

/** Questions by credentials, first come first served, and the children that ask them. */
interface Desk {
  readonly children: readonly IpmipowerChild[]
  readonly groups: Map<string, Question[]>
  /** Questions gather: it is served in a moment. */
  due: boolean
}

export class Ipmipower implements Fleet {
  private readonly parts: FleetParts
  private readonly lively: Desk
  private readonly dead: Desk
  private readonly silent = new SilentBmcs()
  private stopped = false

  constructor(parts: FleetParts) {
    this.parts = parts
    const desk = (count: number): Desk => ({
      children: Array.from({ length: count }, () => new IpmipowerChild(parts.launch, parts.clock)),
      groups: new Map(),
      due: false,
    })
    this.lively = desk(parts.children)
    this.dead = desk(Math.ceil(parts.children / 4))
  }

  /** Whether its credentials can be said to ipmipower at all. */
  pollable = ({ username, password, address, bridge }: IpmiInfo): boolean =>
    PLAIN.test(username) && PLAIN.test(password) && username !== '' && !address.includes('%') && bridge === undefined

  /** Reads one power state; questions that come together are asked together. `giveWay`: not asked yet, it is not asked
   *  any more. Throws bmc.* faults. */
  async power(info: IpmiInfo, giveWay?: AbortSignal): Promise<Power> {
    const { suites } = this.parts
    const tries = suites.tries(info)
    for (const [i, suite] of tries.entries()) {
      try {
        const power = await this.ask(info, { suite, giveWay })
        suites.worked(info, suite)
        this.silent.answered(hostOf(info))
        return power
      } catch (error) {
        this.silent.failed(hostOf(info), error)
        const refused = isFault(error, 'bmc.refused') && error.cause === 'suite'
        if (refused && i < tries.length - 1) continue
        if (refused) suites.forget(info)
        throw error
      }
    }
    throw new Fault('bmc.refused', `BMC ${info.address} takes none of the cipher suites ${tries.join(', ')}`)
  }

  stop(): void {
    this.stopped = true
    for (const desk of [this.lively, this.dead]) {
      for (const child of desk.children) child.stop()
      for (const question of [...desk.groups.values()].flat())
        question.reject(new Fault('bmc.busy', 'the conductor stops'))
      desk.groups.clear()
    }
  }

  private ask(info: IpmiInfo, how: { suite: number; giveWay: AbortSignal | undefined }): Promise<Power> {
    const desk = this.silent.has(hostOf(info)) ? this.dead : this.lively
    const { suite, giveWay } = how
    const group = JSON.stringify([info.username, info.password, info.privilege, info.kgKeyHex ?? '', suite])
    return new Promise<Power>((resolve, reject) => {
      if (giveWay?.aborted) return reject(giveWay.reason as Error)
      const leave = () => {
        if (withdraw(desk.groups, group, question)) reject(giveWay?.reason as Error)
      }
      const question: Question = {
        info,
        suite,
        begun: () => giveWay?.removeEventListener('abort', leave),
        resolve,
        answer: (said) => resolveAnswer(info, said, { resolve, reject }),
        reject,
      }
      giveWay?.addEventListener('abort', leave, { once: true })
      const waiting = desk.groups.get(group)
      if (waiting) waiting.push(question)
      else desk.groups.set(group, [question])
      if (desk.due) return
      desk.due = true
      this.parts.clock.after(GATHER_MS, () => {
        desk.due = false
        this.serve(desk)
      })
    })
  }

  /** Gives work to every child that has none. */
  private serve(desk: Desk): void {
    for (const child of desk.children) {
      if (child.busy || this.stopped) continue
      const next = take(desk.groups, this.parts.perRound)
      if (!next) return
      void child.round(next.group, next.questions).then(() => this.serve(desk))
    }
  }
}

const hostOf = (info: IpmiInfo) => `${info.address}:${info.port}`

function withdraw(groups: Map<string, Question[]>, group: string, question: Question): boolean {
  const waiting = groups.get(group)
  const at = waiting?.indexOf(question) ?? -1
  if (!waiting || at < 0) return false
  waiting.splice(at, 1)
  if (waiting.length === 0) groups.delete(group)
  return true
}

/** One group, each address once: the answers name addresses without ports. What is left goes to the end of the line. */
function take(groups: Map<string, Question[]>, most: number): { group: string; questions: Question[] } | undefined {
  const first = groups.entries().next().value
  if (!first) return undefined
  const [group, waiting] = first
  const asked = new Set<string>()
  const [now, later]: [Question[], Question[]] = [[], []]
  for (const question of waiting) {
    const fits = now.length < most && !asked.has(question.info.address)
    asked.add(question.info.address)
    ;(fits ? now : later).push(question)
  }
  groups.delete(group)
  if (later.length > 0) groups.set(group, later)
  for (const question of now) question.begun()
  return { group, questions: now }
}

function resolveAnswer(info: IpmiInfo, said: string, { resolve, reject }: Pick<Question, 'resolve' | 'reject'>): void {
  const { address, username } = info
  if (said === 'on' || said === 'off') return resolve(said)
  if (/timeout|not discovered|busy/.test(said))
    return reject(new Fault('bmc.unreachable', `BMC ${address} did not answer (${printable(said)})`))
  if (/^(username|password|k_g) invalid/.test(said))
    return reject(new Fault('bmc.password', `BMC ${address} refused the user ${username} or its password`))
  return reject(
    new Fault('bmc.refused', `BMC ${address}: ${printable(said)}`, NO_SUCH_SUITE.test(said) ? { cause: 'suite' } : {}),
  )
}
