/** Asking a host's BMC, one thing at a time: whose it is, what it says, and the one command. */
import type { ArbiterState } from '../arbiter/state.ts'
import type { DeviceLevel } from '../protocol/records.ts'
import { COMMAND_MS, READ_APART_MS } from './guards.ts'

const READ_EVERY_MS = READ_APART_MS / 2
const KEPT_READS = 24

/** Reads the power again when the last read is old enough, and whose BMC it is with it: an address that has moved to another machine meanwhile must
 *  be found before OFF goes there. */
export function readBmc(core: ArbiterState, host: string, nowMs: number): void {
  const post = core.post(host)
  const member = core.cluster.members.get(host)?.value
  if (!member || post.bmcBusy) return
  const last = post.reads.at(-1)
  if (last && nowMs - last.atMs < READ_EVERY_MS) return
  post.bmcBusy = true
  core.world.bmc(
    { host, act: 'identify', notAfterMs: nowMs + COMMAND_MS, deadlineMs: nowMs + COMMAND_MS },
    (answer) => {
      if (core.memories.get(host) !== post) return
      post.bmcBusy = false
      const atMs = core.world.now()
      post.bmcFault = answer.fault
      if (answer.systemUuid !== undefined) {
        post.identity =
          member.systemUuid === null ? 'unknown' : sameUuid(answer.systemUuid, member.systemUuid) ? 'match' : 'mismatch'
        post.identityAtMs = atMs
      }
      // What another machine's BMC says is no reading of this one.
      post.addRead({
        atMs,
        power: post.identityNow(atMs) === 'match' ? (answer.power ?? 'unknown') : 'unknown',
        session: answer.session ?? -1,
      })
      core.tick(atMs)
    },
  )
}

/** Devices that were told OFF are asked whether they are. */
export function readDevices(core: ArbiterState, host: string, nowMs: number): void {
  const post = core.post(host)
  for (const [level, device] of post.devices) {
    const last = device.reads.at(-1)
    if (device.busy || device.lastOffMs === null || (last && nowMs - last.atMs < READ_EVERY_MS)) continue
    device.busy = true
    core.world.device(
      { host, level, act: 'status', notAfterMs: nowMs + COMMAND_MS, deadlineMs: nowMs + COMMAND_MS },
      (answer) => {
        if (core.memories.get(host) !== post) return
        device.busy = false
        const atMs = core.world.now()
        device.fault = answer.fault
        // Each asking is a session of its own.
        device.reads = [...device.reads, { atMs, power: answer.power ?? 'unknown', session: atMs }].slice(-KEPT_READS)
        core.tick(atMs)
      },
    )
  }
}

export function sendDeviceOff(core: ArbiterState, about: { host: string; level: DeviceLevel }, nowMs: number): void {
  const post = core.post(about.host)
  const device = post.device(about.level)
  const deadlineMs = nowMs + COMMAND_MS
  Object.assign(device, { lastOffMs: nowMs, reads: [], busy: true })
  post.outstanding.push(deadlineMs)
  core.world.device({ ...about, act: 'off', notAfterMs: nowMs + 500, deadlineMs }, (answer) => {
    if (core.memories.get(about.host) !== post) return
    device.busy = false
    device.fault = answer.fault
    const at = post.outstanding.indexOf(deadlineMs)
    if (answer.fault === undefined && at >= 0) post.outstanding.splice(at, 1)
  })
}

/** The record owes it and is stored. The last look for a sign of life is the caller's, at this very moment. */
export function sendOff(core: ArbiterState, host: string, nowMs: number): void {
  const post = core.post(host)
  const deadlineMs = nowMs + COMMAND_MS
  post.lastOffMs = nowMs
  post.outstanding.push(deadlineMs)
  core.world.bmc({ host, act: 'off', notAfterMs: nowMs + 500, deadlineMs }, (answer) => {
    if (core.memories.get(host) !== post) return
    post.bmcFault = answer.fault
    const at = post.outstanding.indexOf(deadlineMs)
    // An answer ends it; without one it may still be on its way until its deadline.
    if (answer.fault === undefined && at >= 0) post.outstanding.splice(at, 1)
  })
}

/** Some BMCs answer the GUID with its bytes in the order of the wire: RFC 4122's first three fields reversed (ipmitool's "encoding" is a guess). */
export function sameUuid(answered: string | null, wanted: string): boolean {
  if (answered === null) return false
  const hex = (text: string) => text.replaceAll('-', '').toLowerCase()
  const [a, b] = [hex(answered), hex(wanted)]
  const swap = (text: string) =>
    (text.slice(0, 8) + text.slice(8, 12) + text.slice(12, 16)).replace(
      /^(..)(..)(..)(..)(..)(..)(..)(..)$/,
      '$4$3$2$1$6$5$8$7',
    ) + text.slice(16)
  const whole = (text: string) => text.match(/../g)?.reverse().join('') ?? ''
  return a === b || swap(a) === b || whole(a) === b
}
