/** What the guards of a node look at is what really changed in its record, whoever changed it. */
import { expect, test } from 'vitest'
import { changedFields } from '../../conductor/node/policy/changes.ts'
import { checkUpdate } from '../../conductor/node/policy/guards.ts'
import { withoutReasons } from '../../conductor/node/policy/tidy.ts'
import { newNode, type NodeRecord } from '../../conductor/node/record.ts'
import type { State } from '../../conductor/node/workflow/states.ts'

const nodeIn = (provisionState: State): NodeRecord =>
  newNode({ uuid: '0'.repeat(36), driver: 'fake-hardware', provisionState, driverInfo: { a: { b: 1 } } }, 0)

test('equal values are no change, and an interface is a field of its own', () => {
  const node = nodeIn('manageable')
  expect([...changedFields(node, { ...node, driverInfo: { a: { b: 1 } }, traits: [] })]).toEqual([])
  const next: NodeRecord = { ...node, driverInfo: { a: { b: 2 } }, interfaces: { deploy: 'direct' } }
  expect([...changedFields(node, next)].sort()).toEqual(['deployInterface', 'driverInfo'])
})

test.each([
  ['driverInfo', { driverInfo: {} }],
  ['vifs beside properties', { vifs: { one: {} }, properties: { cpus: 1 } }],
  ['an interface', { interfaces: { raid: 'no-raid' } }],
  ['configDrive', { configDrive: { id: 'x', form: 'json', pieces: 1, sizeBytes: 1 } }],
] as const)('a change of %s is refused while the node is being cleaned', (_, change) => {
  const node = nodeIn('cleaning')
  expect(() => checkUpdate(node, { ...node, ...change })).toThrow('can be changed when it has left that state')
})

test('a refusal names the field as the API spells it', () => {
  const cleaning = nodeIn('cleaning')
  expect(() => checkUpdate(cleaning, { ...cleaning, driverInfo: {} })).toThrow('"cleaning": driver_info can be changed')
  const active = nodeIn('active')
  expect(() => checkUpdate(active, { ...active, resourceClass: 'x' })).toThrow(
    '"active": resource_class can be changed',
  )
})

test('flags, notes and VIFs change in any state', () => {
  const node = nodeIn('cleaning')
  const next: NodeRecord = { ...node, vifs: { one: {} }, extra: { note: 1 }, maintenance: true, maintenanceReason: 'x' }
  expect(() => checkUpdate(node, next)).not.toThrow()
})

test('a cleared flag takes its reason along, and a reason without its flag is refused', () => {
  const node: NodeRecord = { ...nodeIn('active'), protected: true, protectedReason: 'production' }
  expect(withoutReasons(node, { ...node, protected: false }).protectedReason).toBeNull()
  const open = { ...nodeIn('active'), protectedReason: 'production' }
  expect(() => checkUpdate(nodeIn('active'), withoutReasons(nodeIn('active'), open))).toThrow('protected_reason')
})
