/** Running volumes as disks, beside the disks that are no members of them: what a deploy chooses its root from. */
import { basename } from 'node:path'
import type { Disk } from '../../../conductor/api/agent-wire.ts'
import { readDisk, readDisks, readPartitions } from '../sysfs.ts'
import { espIdOf } from './plan.ts'
import type { ArrayFacts, Mdadm } from './mdadm.ts'

export interface RunningVolume {
  readonly disk: Disk
  readonly facts: ArrayFacts
}

/** Starts the volumes that the conductor knows, but those of `tolerate` only where they are whole. */
export async function startVolumes(
  mdadm: Mdadm,
  ids: readonly string[],
  { tolerant = false }: { tolerant?: boolean } = {},
): Promise<RunningVolume[]> {
  const volumes: RunningVolume[] = []
  for (const id of ids) {
    const device = await mdadm.assemble(id, `the volume with the UUID ${id}`).catch((error: unknown) => {
      if (tolerant) return undefined
      throw error
    })
    const facts = device === undefined ? undefined : await mdadm.detail(device)
    if (device === undefined || !facts) continue
    const disk = await readDisk('/sys', basename(device))
    volumes.push({ disk: { ...disk, volumeName: facts.name }, facts })
  }
  return volumes
}

/** Disks that carry no member of these volumes, and the volumes. */
export async function disksAndVolumes(volumes: readonly RunningVolume[]): Promise<Disk[]> {
  const members = new Set(volumes.flatMap(({ facts }) => facts.members))
  const free: Disk[] = []
  for (const disk of await readDisks()) {
    const devices = [disk.name, ...[...(await readPartitions(disk.name)).values()].map(({ device }) => device)]
    if (!devices.some((device) => members.has(device))) free.push(disk)
  }
  return [...free, ...volumes.map(({ disk }) => disk)]
}

/** The array of the EFI system partitions that belongs to a volume, when it has one. */
export const startEsp = (mdadm: Mdadm, volume: RunningVolume): Promise<string> =>
  mdadm.assemble(espIdOf(volume.facts.id), `the EFI system partition of the volume ${volume.facts.name}`)
