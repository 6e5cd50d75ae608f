/** The end of a host's maintenance by Masakari's API: a hold that a person has placed since it was looked up stays. */
import { expect, test } from 'vitest'
import { MARK, MeshMembers } from '../../conductor/masakari/members.ts'
import type { MeshLink } from '../../conductor/mesh/link.ts'
import { endHold } from '../../host-agent/api/changes.ts'
import { holdKey } from '../../host-agent/protocol/records.ts'
import { isFault } from '../../kit/fault.ts'
import { MemoryMesh } from '../mesh/memory-world.ts'
import { Cloud } from './bench.ts'

test('a hold that a person has placed since stays; its own ends', async () => {
  const mesh = new MemoryMesh(new Cloud().driver, ['h1'])
  const consul = mesh.consul()
  const request: MeshLink['request'] = async (...[, , options]) => {
    try {
      return { status: 200, body: await endHold(consul, 'h1', options?.body), tag: undefined }
    } catch (error) {
      if (isFault(error, 'object.conflict')) return { status: 409, body: null, tag: undefined }
      throw error
    }
  }
  const members = new MeshMembers({ registry: () => Promise.reject(new Error('not asked')), request })
  const own = { kind: 'maintenance', why: `${MARK}on_maintenance`, by: 'admin', seconds: null }
  const seen = { kind: 'maintenance', reason: own.why, requested_by: 'admin', seconds: null }
  const end = () => members.hold({ name: 'h1', node: null, hold: seen }, false, 'admin')

  const persons = { ...own, kind: 'deploying', why: 'a disk is exchanged' }
  const { index: none = 0 } = (await consul.get(holdKey('h1'), { consistent: true })) ?? {}
  expect(await consul.cas(holdKey('h1'), persons, none)).toBe(true)
  await expect(end()).rejects.toMatchObject({ code: 'mesh.refused' })
  const held = await consul.get(holdKey('h1'), { consistent: true })
  expect(held?.value).toEqual(persons)

  expect(await consul.cas(holdKey('h1'), own, held?.index ?? 0)).toBe(true)
  await end()
  expect((await consul.get(holdKey('h1'), { consistent: true }))?.value).toBeUndefined()
  mesh.stop()
})
