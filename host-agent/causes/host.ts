/** The likely causes of what is wrong with one host, the likeliest first; none of a host that is well. Pure. */
import type { Incident } from '../protocol/records.ts'
import { seconds } from '../verdict/view.ts'
import { bmcCauses, powerCauses } from './bmc.ts'
import type { HostFacts } from './facts.ts'
import { causeOf, type Cause } from './table.ts'
import { heardText, planeTexts } from './words.ts'

export function hostCauses(facts: HostFacts): Cause[] {
  const { incident } = facts
  // It lives, or lived, and was switched off for its planes: its silence since then is no other failure.
  const cooperative = incident ? causeOfConsent(incident, facts) : []
  if (cooperative.length > 0) return [...cooperative, ...(facts.isSilent ? bmcCauses(facts) : [])]
  if (!facts.isSilent) return planeCauses(facts)
  if (facts.hasLeft) return []
  const found = [
    ...dumping(facts),
    ...silentTogether(facts),
    ...alive(facts),
    ...bmcCauses(facts),
    ...(facts.life ? [] : powerCauses(facts)),
  ]
  return found.length > 0 ? found : [causeOf('host.silent', [heardText(facts)])]
}

function causeOfConsent({ cause, lines }: Incident, facts: HostFacts): Cause[] {
  const evidence = [lines[0] && `${lines[0].at}: ${lines[0].says}`, ...planeTexts(facts)]
  if (cause === 'storage') return [causeOf('plane.storage', evidence)]
  return cause === 'isolated' ? [causeOf('plane.isolated', evidence)] : []
}

function planeCauses(facts: HostFacts): Cause[] {
  const { planes, storageLost } = facts
  const isDown = (plane: keyof typeof planes) => planes[plane] === 'down'
  const evidence = [
    ...planeTexts(facts),
    storageLost ? 'it says itself that its guests cannot reach their storage' : undefined,
  ]
  const storage = isDown('storage') || storageLost
  if (storage && facts.isStorageSick) return [causeOf('storage.down', evidence)]
  if (isDown('management') && isDown('tenant') && !storage) return [causeOf('plane.isolated', evidence)]
  return [
    ...(storage ? [causeOf('plane.storage', evidence)] : []),
    ...(isDown('tenant') ? [causeOf('plane.tenant', evidence)] : []),
    ...(isDown('management') ? [causeOf('plane.management', evidence)] : []),
  ]
}

const dumping = (facts: HostFacts): Cause[] =>
  facts.isDumping ? [causeOf('host.dumping', ['its dump kernel says so (fence_kdump)', heardText(facts)])] : []

function silentTogether(facts: HostFacts): Cause[] {
  const { together } = facts
  if (!together) return []
  const { count, hosts } = together
  const more = count > hosts.length ? ` and ${count - hosts.length} more` : ''
  const evidence = [`silent together: ${hosts.join(', ')}${more}`, heardText(facts), ...planeTexts(facts)]
  return together.rack === null
    ? [causeOf('hosts.silent', evidence)]
    : [causeOf('rack.silent', [`all of them are in rack ${together.rack}`, ...evidence])]
}

/** Something of it answers although its heartbeat is missed. */
function alive(facts: HostFacts): Cause[] {
  const { life, incident } = facts
  if (!life || incident) return []
  const evidence = [`${life.says} ${seconds(life.ageMs)} ago`, heardText(facts), ...planeTexts(facts)]
  return [causeOf(life.kind === 'hard' ? 'host.unheard' : 'agent.lost', evidence)]
}
