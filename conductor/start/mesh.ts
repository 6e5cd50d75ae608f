/** What the conductor has of the mesh, where one is configured: the way to its arbiters, and what they are sent of
 *  BMCs. */
import { BmcCredentials } from '../mesh/credentials.ts'
import { MeshLink } from '../mesh/link.ts'
import type { Context } from './context.ts'

export interface Mesh {
  readonly link: MeshLink | undefined
  readonly credentials: BmcCredentials | undefined
}

export async function meshParts({ config, clock }: Context): Promise<Mesh> {
  const link = config.mesh && (await MeshLink.open(config.mesh, clock))
  return { link, credentials: link && new BmcCredentials(link, clock) }
}
