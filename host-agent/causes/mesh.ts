/** What is wrong with the mesh as a whole: its store and its arbiters, as one arbiter sees them; nothing where all is
 *  well. Pure. */
import { seconds } from '../verdict/view.ts'
import type { ArbiterFacts, MeshFacts } from './facts.ts'
import { causeOf, type Cause } from './table.ts'

/** A renewal of its session is due each second and may take four. */
const STORE_MS = 6_000
const SILENT_MS = 5_000

export function meshCauses({ arbiter, arbiters }: MeshFacts): Cause[] {
  const own = arbiters.find(({ name }) => name === arbiter)
  const others = arbiters.filter(({ name }) => name !== arbiter)
  // In every tick: nothing is put into words while all is well.
  const evidence = () => arbiters.map(textOf)
  const silent = others.filter(isSilent)
  const away = others.filter((one) => !isSilent(one) && isAway(one))

  if (own && isAway(own)) {
    // One that writes to the store has a quorum: the trouble is this one's alone.
    const isOwnTrouble = others.some((one) => !isSilent(one) && one.storeAgeMs !== undefined && !isAway(one))
    return [causeOf(isOwnTrouble ? 'mesh.store-away' : 'mesh.no-quorum', evidence())]
  }
  return [
    ...(silent.length > 0 ? [causeOf('arbiter.silent', evidence())] : []),
    ...(away.length > 0 ? [causeOf('arbiter.store-away', evidence())] : []),
  ]
}

const isSilent = ({ heardAgeMs }: ArbiterFacts) => heardAgeMs === undefined || heardAgeMs > SILENT_MS
const isAway = ({ storeAgeMs }: ArbiterFacts) => storeAgeMs !== undefined && storeAgeMs > STORE_MS

function textOf(one: ArbiterFacts): string {
  const { name, heardAgeMs, storeAgeMs } = one
  if (heardAgeMs === undefined) return `${name} was never heard`
  if (isSilent(one)) return `${name} was last heard ${seconds(heardAgeMs)} ago`
  if (storeAgeMs === undefined) return `${name} is heard, and does not say when the store last answered it`
  return `the store last answered ${name} ${seconds(storeAgeMs)} ago`
}
