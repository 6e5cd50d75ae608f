/** Who may post to a hook, and how often: the secret is compared in constant time, wrong ones are counted by address,
 *  and an unknown hook is answered like a wrong secret. */
import { timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { sourceOf } from '../../kit/addresses.ts'
import type { Clock } from '../../kit/clock.ts'
import { sha256 } from '../../kit/digest.ts'
import { Fault } from '../../kit/fault.ts'
import type { OnLimit } from '../../kit/limit-meter.ts'
import { signature } from '../../kit/webhook.ts'
import { FailedLogins } from '../api/failed-logins.ts'
import type { Limits } from '../limits.ts'
import type { HookConfig } from './config.ts'

const WINDOW_MS = 60_000
/** How far the clock of a sender may be off; an older signature is not taken. */
const SKEW_MS = 300_000

export interface HookDoorParts {
  readonly hooks: readonly HookConfig[]
  readonly clock: Clock
  readonly limits: Limits
  readonly onLimit: OnLimit
}

export class HookDoor {
  private readonly parts: HookDoorParts
  private readonly failures: FailedLogins
  /** Signatures that were taken, and when: as many as the limit lets in. */
  private readonly taken = new Map<string, number>()
  private readonly posts = new Map<string, { sinceMs: number; count: number }>()

  constructor(parts: HookDoorParts) {
    const { clock, limits, onLimit } = parts
    this.parts = parts
    const perMinute = limits.api.failedLoginsPerMinute
    this.failures = new FailedLogins({ perMinute, nowMs: () => clock.now(), onLimit })
  }

  /** Before the body is read; one that is signed is still to be checked. Throws `access.unknown`, `access.limited`. */
  admit(name: string, request: IncomingMessage): HookConfig {
    const hook = this.parts.hooks.find((one) => one.name === name)
    const { authorization, 'x-rackward-signature': signed } = request.headers
    return this.counted(name, request, () =>
      hook?.auth === 'hmac' ? signed !== undefined && hook : isToken(hook, authorization) && hook,
    )
  }

  /** Throws `access.unknown` for a body that its sender did not sign, or that was sent before; `access.often`. */
  checkPost(hook: HookConfig, request: IncomingMessage, body: Buffer): void {
    const header = String(request.headers['x-rackward-signature'])
    if (hook.auth === 'hmac') this.counted(hook.name, request, () => this.isSigned(hook, header, body) && hook)
    const { limits, clock, onLimit } = this.parts
    const nowMs = clock.now()
    const before = this.posts.get(hook.name)
    const isOver = !before || nowMs < before.sinceMs || nowMs - before.sinceMs >= WINDOW_MS
    const now = isOver ? { sinceMs: nowMs, count: 0 } : before
    this.posts.set(hook.name, now)
    if (now.count >= limits.hooks.postsPerMinute) {
      onLimit('hooks.postsPerMinute', { hook: hook.name })
      throw new Fault(
        'access.often',
        `more than ${limits.hooks.postsPerMinute} requests in a minute (limits.hooks.postsPerMinute)`,
      )
    }
    now.count += 1
    if (hook.auth === 'hmac') this.taken.set(header, nowMs)
  }

  private isSigned(hook: HookConfig, header: string, body: Buffer): boolean {
    const nowMs = this.parts.clock.now()
    for (const [one, atMs] of this.taken) if (Math.abs(nowMs - atMs) > 2 * SKEW_MS) this.taken.delete(one)
    const seconds = Number(/^t=(\d{1,12}),v1=[0-9a-f]{64}$/.exec(header)?.[1] ?? NaN)
    if (!(Math.abs(nowMs - seconds * 1000) <= SKEW_MS) || this.taken.has(header)) return false
    return isSame(header, signature(hook.secret, seconds * 1000, body))
  }

  /** A guess is counted before it is looked at. Throws `access.limited` for an address that fails too often. */
  private counted(name: string, request: IncomingMessage, look: () => HookConfig | false | undefined): HookConfig {
    const source = sourceOf(request.socket.remoteAddress ?? 'unix')
    const user = `hook ${name}`
    this.failures.begin(source, user)
    const hook = look()
    if (!hook) {
      this.failures.wrong(source)
      throw new Fault('access.unknown', 'there is no such hook, or the request does not carry its secret')
    }
    this.failures.forgive(source, user)
    return hook
  }
}

/** `Bearer SECRET`, or HTTP basic with the secret as password: what a sender can put into a URL. */
function isToken(hook: HookConfig | undefined, header = ''): boolean {
  const [, scheme = '', given = ''] = /^(Bearer|Basic) +([\x21-\x7e]{1,4096})$/i.exec(header) ?? []
  const token = /basic/i.test(scheme)
    ? Buffer.from(given, 'base64')
        .toString()
        .replace(/^[^:]*:/, '')
    : given
  // As long for a hook that does not exist.
  const isRight = isSame(token, hook?.secret ?? '')
  return isRight && hook !== undefined
}

const isSame = (one: string, other: string): boolean => timingSafeEqual(sha256(one), sha256(other))
