/** Which fields of a node differ between two versions of its record. Each hardware interface counts as a field of its
 *  own. Pure. */
import { isDeepStrictEqual } from 'node:util'
import type { NodeRecord } from '../record.ts'
import { INTERFACES, type InterfaceName } from './interfaces.ts'

export type NodeField = Exclude<keyof NodeRecord, 'interfaces'> | `${InterfaceName}Interface`

export function changedFields(before: NodeRecord, after: NodeRecord): ReadonlySet<NodeField> {
  const changed = new Set<NodeField>()
  for (const field of Object.keys(after) as (keyof NodeRecord)[])
    if (field !== 'interfaces' && !isDeepStrictEqual(before[field], after[field])) changed.add(field)
  for (const name of INTERFACES) if (before.interfaces[name] !== after.interfaces[name]) changed.add(`${name}Interface`)
  return changed
}
