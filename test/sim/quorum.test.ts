/** A store without a quorum in the simulated rack: what arbiters name meanwhile, and what the mesh keeps of it. */
import { expect, test } from 'vitest'
import { WHOLE_MESH } from '../../host-agent/protocol/trouble.ts'
import { AT, scheduleWith as schedule, type Fault } from './faults.ts'
import type { SimRack } from './rack.ts'
import { runSchedule } from './run.ts'

test('without a quorum every arbiter names that while it lasts, and the mesh has an episode of it afterwards', () => {
  const forMs = 30_000
  let during: readonly (string | undefined)[] = []
  let after: readonly unknown[] = []
  const look = (rack: SimRack) => {
    rack.engine.at(AT + forMs - 1_000, () => {
      during = rack.arbiters.map(({ core }) => core.meshStanding.first?.code)
    })
    rack.engine.at(AT + forMs + 20_000, () => {
      const [arbiter] = rack.arbiters
      after = arbiter?.core.cluster.troubles.get(WHOLE_MESH)?.value.episodes ?? []
    })
  }
  const faults: readonly Fault[] = [
    { atMs: AT, kind: 'no quorum', forMs },
    // The simulation goes on until then.
    { atMs: AT + forMs + 25_000, kind: 'session lost' },
  ]
  const { violations } = runSchedule(schedule(faults, { endMs: 90_000 }), {}, look)
  expect(violations).toEqual([])
  expect(new Set(during)).toEqual(new Set(['mesh.no-quorum']))
  expect(after).toMatchObject([{ causes: [{ code: 'mesh.no-quorum' }] }])
  expect(after[0]).not.toMatchObject({ to: null })
})
