/** What follows from a change of a node's record: one name in two places, and reasons of flags that are gone. Pure. */
import type { NodeRecord } from '../record.ts'

/** `instance_name` and instance_info/display_name are one name in two places (Ironic, since 1.104); the one that
 *  changed wins. */
export function named(before: NodeRecord, next: NodeRecord): NodeRecord {
  const shown = next.instanceInfo.display_name
  if (next.instanceName !== before.instanceName) {
    const { display_name: _, ...rest } = next.instanceInfo
    return { ...next, instanceInfo: next.instanceName === null ? rest : { ...rest, display_name: next.instanceName } }
  }
  return typeof shown === 'string' && shown !== before.instanceInfo.display_name
    ? { ...next, instanceName: shown.slice(0, 255) }
    : next
}

/** A flag that is cleared takes its reason with it. A reason that was given without its flag stays, and is refused
 *  later. */
export function withoutReasons(before: NodeRecord, next: NodeRecord): NodeRecord {
  const freed = (flag: 'protected' | 'retired') =>
    before[flag] && !next[flag] && next[`${flag}Reason`] === before[`${flag}Reason`]
  return {
    ...next,
    ...(freed('protected') ? { protectedReason: null } : {}),
    ...(freed('retired') ? { retiredReason: null } : {}),
  }
}
