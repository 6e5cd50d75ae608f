/** What `rackward doctor` makes of the mesh: the answer of an arbiter or a conductor -> findings. Pure. */
import * as z from 'zod'
import { bad, ok, warn, type Finding } from '../conductor/doctor/finding.ts'

export const MeshAnswer = z.object({
  leader: z.string().nullable(),
  armed: z.boolean(),
  /** Not of arbiters of version 0.2. */
  reason: z.string().nullish(),
  arbiters: z.array(z.object({ name: z.string(), last_heard_seconds: z.number().nullable() })),
})
export type MeshAnswer = z.infer<typeof MeshAnswer>

/** A heartbeat comes four times a second. */
const SILENT_SECONDS = 5

export function findingsOfMesh(mesh: MeshAnswer): Finding[] {
  const silent = mesh.arbiters.filter(({ last_heard_seconds: age }) => age === null || age > SILENT_SECONDS)
  return [
    mesh.leader === null
      ? bad(
          'mesh',
          'the mesh has no leader: no host is fenced',
          'look at Consul on the arbiters: rackward doctor there',
        )
      : ok('mesh', `${mesh.leader} leads`),
    ...silent.map(({ name }) =>
      bad('mesh', `the arbiter ${name} sends no heartbeat`, `systemctl status rackward-agent on ${name}`),
    ),
    ...(mesh.armed
      ? []
      : [warn('mesh', `the mesh is disarmed${mesh.reason ? `: ${mesh.reason}` : ''}`, 'rackward mesh arm')]),
  ]
}
