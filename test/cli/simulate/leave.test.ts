/** What a simulation leaves behind: every node that it could not remove is named. */
import { expect, test } from 'vitest'
import { CliError } from '../../../cli/error.ts'
import type { Api } from '../../../cli/server.ts'
import { removeNodes } from '../../../cli/simulate/leave.ts'
import { systemClock } from '../../../kit/clock.ts'

test('a conductor that does not answer is not asked for each node', async () => {
  let asked = 0
  const ask = async () => {
    asked += 1
    throw new CliError('unreachable', 'no answer within 60 s')
  }
  const uuids = Array.from({ length: 1_000 }, (_, i) => `node-${i}`)
  const left = await removeNodes(uuids, { api: { ask } as unknown as Api, clock: systemClock })
  expect(left.toSorted()).toEqual(uuids.toSorted())
  expect(asked).toBeLessThan(100)
})
