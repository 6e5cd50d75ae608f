/** Reads every record of a store once, so that what is damaged is known, and removes what belongs to nothing; the same
 *  in every database. */
import type { Damage } from './damage.ts'
import type { Damaged } from './port.ts'

interface SurveyParts {
  readonly damage: Damage
  readonly drives: { sweep(): Promise<void> }
  readonly nodes: { every(): Promise<unknown> }
  readonly ports: { survey(): Promise<void> }
}

export async function survey({ damage, drives, nodes, ports }: SurveyParts): Promise<readonly Damaged[]> {
  await drives.sweep()
  await nodes.every()
  await ports.survey()
  return damage.list()
}
