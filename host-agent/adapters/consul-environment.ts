/** The environment of an arbiter for real: Consul's store and sessions, BMCs, the manager of the instances. Each call
 *  answers by its deadline, whatever happens. */
import { whileLeading } from '../../conductor/bmc/leading.ts'
import type { Clock } from '../../kit/clock.ts'
import { systemClock } from '../../kit/clock.ts'
import type { Consul, TreeOptions, TxnOp } from '../../kit/consul.ts'
import { isFault } from '../../kit/fault.ts'
import type { Log } from '../../kit/log.ts'
import type { Driver } from './instances/driver.ts'
import type { FenceDevices } from './fence-agents.ts'
import type { Power } from './bmc.ts'
import { LOCK_DELAY_MS, SESSION_TTL_MS } from '../protocol/timing.ts'
import type { Sessions } from '../cluster/leadership.ts'
import type { PoisonPill } from '../protocol/poison-pill.ts'
import type { PillRequest } from './poison-pill.ts'
import { KEYS, PREFIX } from '../protocol/records.ts'
import type { Alert } from '../cluster/decision.ts'
import type { DriverAnswer, DriverCall } from '../evacuate/effects.ts'
import type { Environment } from './environment.ts'
import type { Snapshot } from '../cluster/store.ts'

export interface RealParts {
  readonly consul: Consul
  readonly clock: Clock
  readonly power: Power
  readonly devices: Pick<FenceDevices, 'ask' | 'levels'>
  readonly driver: Driver
  readonly log: Log
  readonly name: string
  /** Where people and the conductor reach this arbiter. */
  readonly api: string | null
  readonly nodeOf: (host: string) => string | null
  /** Rejects where there is no shared storage, or it cannot be read or written. */
  readonly pill: (ask: PillRequest) => Promise<PoisonPill | undefined>
  readonly onAlert: (alert: Alert) => void
}

/** Sessions and the store share one thing: the session under which writes are made. */
export function consulEnvironment(parts: RealParts): { environment: Environment; sessions: Sessions } {
  const { consul, clock, log } = parts
  const held: { session: string | undefined } = { session: undefined }
  const whenDone = <T>(promise: Promise<T>, done: (value: T) => void, failed: (error: unknown) => void) =>
    void promise.then(done, failed).catch((error: unknown) => log.error({ err: error }, 'a callback broke'))

  const sessions: Sessions = {
    create: (done) =>
      whenDone(
        consul.createSession({
          name: `rackward ${parts.name}`,
          ttlSeconds: SESSION_TTL_MS / 1000,
          lockDelaySeconds: LOCK_DELAY_MS / 1000,
        }),
        done,
        (error) => quiet(error, () => done(undefined)),
      ),
    renew: (id, done) => whenDone(consul.renewSession(id), done, (error) => quiet(error, () => done(undefined))),
    acquire: (id, done) =>
      whenDone(
        consul.acquire(KEYS.leader, id, { name: parts.name, api: parts.api }),
        (epoch) => {
          if (epoch !== false) held.session = id
          done(epoch)
        },
        (error) => quiet(error, () => done(undefined)),
      ),
    release: (id, done) =>
      whenDone(
        consul.release(KEYS.leader, id).then(() => consul.destroySession(id)),
        done,
        () => done(),
      ),
  }

  const quiet = (error: unknown, then: () => void) => {
    log.debug({ err: error }, 'Consul')
    then()
  }

  const environment: Environment = {
    store(ask, done) {
      const { session } = held
      if (session === undefined) return void clock.after(0, () => done({ got: 'conflict' }))
      const checks = ask.guards.map<TxnOp>(({ key, index }) =>
        index === 0 ? { verb: 'check-not-exists', key } : { verb: 'check-index', key, index },
      )
      const changes = ask.changes.map<TxnOp>(({ key, value, index }) =>
        value === undefined ? { verb: 'delete-cas', key, index } : { verb: 'cas', key, value, index },
      )
      whenDone(
        consul.txn([{ verb: 'check-session', key: KEYS.leader, session }, ...checks, ...changes]),
        (index) => done(index === undefined ? { got: 'conflict' } : { got: 'ok', index }),
        (error) => {
          log.warn({ err: error }, 'nobody knows whether a write was taken; the store is read again')
          done({ got: 'unknown' })
        },
      )
    },
    readStore(done) {
      whenDone(readAll(consul, { consistent: true }), done, (error) => quiet(error, () => done(undefined)))
    },
    bmc(ask, done) {
      const nowMs = clock.now()
      // Node.js may have been stopped between the decision and here.
      if (nowMs > ask.notAfterMs)
        return void clock.after(0, () => done({ fault: 'too late to begin', code: 'bmc.busy', power: 'unknown' }))
      const { signal, once } = bounded(clock, ask.deadlineMs)
      const answer = once(done)
      whenDone(
        whileLeading(
          () => ask.leads() && clock.now() < ask.deadlineMs,
          () => parts.power.ask({ name: ask.host, node: parts.nodeOf(ask.host) }, ask.command, signal),
        ),
        answer,
        (error) => {
          log.warn({ host: ask.host, command: ask.command, err: error }, 'a BMC command failed')
          answer({ fault: (error as Error).message, power: 'unknown', ...(isFault(error) ? { code: error.code } : {}) })
        },
      )
      signal.addEventListener('abort', () => answer({ fault: 'the BMC did not answer in time', power: 'unknown' }))
    },
    device(ask, done) {
      if (clock.now() > ask.notAfterMs)
        return void clock.after(0, () => done({ fault: 'too late to begin', power: 'unknown' }))
      const { signal, once } = bounded(clock, ask.deadlineMs)
      const answer = once(done)
      whenDone(
        parts.devices.ask(ask.host, ask, signal),
        (power) => answer(power === undefined ? {} : { power }),
        (error) => {
          log.warn({ host: ask.host, level: ask.level, action: ask.action, err: error }, 'a fence device failed')
          answer({ fault: (error as Error).message, power: 'unknown' })
        },
      )
      signal.addEventListener('abort', () => answer({ fault: `${ask.level} did not answer in time`, power: 'unknown' }))
    },
    deviceLevels: (host) => parts.devices.levels(host),
    driver(call, deadlineMs, done) {
      const { signal, once } = bounded(clock, deadlineMs)
      const answer = once(done)
      whenDone(callDriver(parts.driver, call, signal), answer, (error) => {
        log.warn({ call: call.call, err: error }, 'the manager of the instances did not do it')
        // What is no fault of ours may have happened at any moment.
        answer({
          ok: false,
          fault: (error as Error).message,
          sent: !isFault(error, 'driver.failed') && !isFault(error, 'peer.unreached'),
        })
      })
      signal.addEventListener('abort', () => answer({ ok: false, fault: 'no answer in time', sent: true }))
    },
    pill(ask, deadlineMs, done) {
      const { signal, once } = bounded(clock, deadlineMs)
      const answer = once(done)
      whenDone(
        parts.pill(ask),
        (found) => answer({ ok: true, found }),
        (error) => {
          log.warn({ host: ask.host, op: ask.op, err: error }, 'a slot on the shared storage could not be used')
          answer({ ok: false, fault: (error as Error).message })
        },
      )
      signal.addEventListener('abort', () => answer({ ok: false, fault: 'the shared storage did not answer in time' }))
    },
    alert: (alert) => parts.onAlert(alert),
    wall: () => new Date(systemClock.now()).toISOString(),
    now: () => clock.now(),
  }
  return { environment, sessions }
}

/** A signal that ends at the deadline, and a callback that is called once. */
function bounded(clock: Clock, deadlineMs: number) {
  const abort = new AbortController()
  const stop = clock.after(Math.max(1, deadlineMs - clock.now()), () =>
    abort.abort(new Error('the deadline has passed')),
  )
  return {
    signal: abort.signal,
    once: <T>(done: (value: T) => void) => {
      let over = false
      return (value: T) => {
        if (over) return
        over = true
        stop()
        done(value)
      }
    },
  }
}

export const readAll = (consul: Consul, options: TreeOptions = {}): Promise<Snapshot> => consul.tree(PREFIX, options)

async function callDriver(driver: Driver, call: DriverCall, signal: AbortSignal): Promise<DriverAnswer> {
  switch (call.call) {
    case 'survey':
      return { ok: true, survey: await driver.survey(signal) }
    case 'list':
      return { ok: true, listing: await driver.list(call.host, signal) }
    case 'prepare':
      await driver.prepare(call.host, call, signal)
      return { ok: true, done: true }
    case 'locate':
      return { ok: true, where: await driver.locate(call.host, call, signal) }
    case 'start':
      return { ok: true, started: await driver.start(call.order, signal) }
    case 'migrate':
      return { ok: true, started: await driver.migrate(call.order, signal) }
    case 'restart':
      return { ok: true, step: await driver.restart(call.order, signal) }
    case 'disable':
      return { ok: true, step: await driver.disable(call.host, call.why, signal) }
    case 'readmit':
      return { ok: true, done: await driver.readmit(call.host, call.step, signal) }
  }
}
