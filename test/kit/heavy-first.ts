/** The order of test files: those that take longest begin first, so that none of them runs alone at the end. Vitest
 *  knows durations of earlier runs only, and on a fresh clone there were none: then the size of the file decides. */
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** The longest, and long ones whose files are small. */
const HEAVY = [
  'test/sim/sim.test.ts',
  'test/conductor/crash.test.ts',
  'test/conductor/crash-verbs.test.ts',
  'test/redfish/firmware.test.ts',
  'test/cli/init-start.test.ts',
  'test/clients/clients.test.ts',
  'test/cli/simulate/run.test.ts',
  'test/conductor/boot-consoles.test.ts',
  'test/sim/crash.test.ts',
  'test/conductor/rooms/room-process.test.ts',
  'test/web/mesh.test.ts',
  'test/web/acts.test.ts',
]
const place = ({ moduleId }: TestSpecification): number => {
  const at = HEAVY.findIndex((path) => moduleId.endsWith(path))
  return at < 0 ? HEAVY.length : at
}

export class HeavyFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return (await super.sort(files)).sort((a, b) => place(a) - place(b))
  }
}
