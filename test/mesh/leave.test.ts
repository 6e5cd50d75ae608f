/** What an arbiter knows of a host that it never heard itself: what the host wrote to the store at its boot, and when
 *  it left. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { noDriver } from '../../host-agent/adapters/instances/none.ts'
import { AgentConfig } from '../../host-agent/config.ts'
import { KEYS, MemberRecord, parsed } from '../../host-agent/protocol/records.ts'
import { memberOf } from '../../host-agent/cluster/register.ts'
import { monotonicClock } from '../../kit/clock.ts'
import { MemoryMesh } from './memory-world.ts'

let mesh: MemoryMesh
beforeEach(() => {
  mesh = new MemoryMesh(noDriver, ['h1', 'h2'])
})
afterEach(() => mesh.stop())

const writes = (boot: MemberRecord['boot']) =>
  mesh.set(`${KEYS.members}h1`, { ...mesh.core.cluster.members.get('h1')?.value, boot })
const policySays = () =>
  mesh.core.explain('h1', monotonicClock.now())?.verdict.conditions.find(({ id }) => id === 'C7')?.says
const lastBoot = (host: string) => mesh.core.evidence.lastBoot(host, mesh.core.cluster.memberOf(host))
const heard = (bootId: string) =>
  mesh.core.onHeartbeat(
    {
      from: 'h1',
      bootId,
      seq: 1,
      peers: {},
      self: {
        state: 'member',
        lagMs: 0,
        storageLost: false,
        guests: 0,
        consents: false,
        gate: 'open',
        watchdogMs: null,
      },
    },
    monotonicClock.now(),
  )

test('a host that left as planned is not fenced by an arbiter that was not there', () => {
  writes({ id: 'boot-1', watchdogMs: null, leaving: true })
  expect(policySays()).toMatch(/it said that it leaves/)
  writes({ id: 'boot-1', watchdogMs: null, leaving: false })
  expect(policySays()).not.toMatch(/leaves/)
})

test('that the boot before left says nothing of the one that is heard', () => {
  writes({ id: 'boot-1', watchdogMs: 10_000, leaving: true })
  heard('boot-2')
  expect(policySays()).not.toMatch(/leaves/)
  expect(lastBoot('h1')).toEqual({ id: 'boot-2', watchdogMs: null })
})

test('the boot of a host that was never heard, and its watchdog, are known', () => {
  expect(lastBoot('h1')).toBeUndefined()
  writes({ id: 'boot-1', watchdogMs: 10_000, leaving: false })
  expect(lastBoot('h1')).toMatchObject({ id: 'boot-1', watchdogMs: 10_000 })
})

test('what a host writes of itself reads back as the same: it is written once', () => {
  const config = AgentConfig.parse({
    name: 'h1',
    role: 'host',
    planes: { storage: { address: '10.0.1.1' }, management: { address: '10.0.0.1' } },
    consul: { tokenFile: '/t' },
  })
  const own: MemberRecord = {
    ...memberOf(config, `${'A'.repeat(43)}=`, null),
    boot: { id: 'boot-1', watchdogMs: 10_000, leaving: false },
  }
  expect(JSON.stringify(parsed(MemberRecord, JSON.parse(JSON.stringify(own))))).toBe(JSON.stringify(own))
})
