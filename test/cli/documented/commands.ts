/** Commands of the documents that are run as they stand there (run.test.ts), in the order of each lane. Those of other
 *  tests stand in elsewhere.ts. A command that stands in neither fails test/rules/documented.test.ts. */
import { channels, files } from './lane-files.ts'
import { hardware } from './lane-hardware.ts'
import { mesh } from './lane-mesh.ts'
import { api, clients, nodes } from './lane-nodes.ts'
import { rack } from './lane-rack.ts'
import type { Run } from './run-step.ts'

/** Each lane is run in its order, beside the others. */
export const LANES: Readonly<Record<string, readonly Run[]>> = {
  nodes,
  api,
  clients,
  hardware,
  rack,
  channels,
  files,
  mesh,
}
