/** Storage, drives and volumes of a Redfish service (Storage 1.15, Volume 1.9). Drives may be linked from several
 *  storage members; sizes and names may be missing. */
import type { DriveSeen, StorageSeen, VolumeOrder, Volumes, VolumeSeen } from '../parts/volumes.ts'
import { isFault } from '../../../kit/fault.ts'
import { isDict, linkOf, type Dict, type RedfishClient } from './client.ts'
import { faultOf } from './messages.ts'
import { readSystem, valuesOf, type At } from './system.ts'
import { countOf, lineOf, stateOf, Walk } from './walk.ts'

const dict = (value: unknown): Dict => (isDict(value) ? value : {})
const linksOf = (value: unknown): string[] =>
  (Array.isArray(value) ? value : []).slice(0, 256).flatMap((one) => linkOf(one) ?? [])

export const redfishVolumes = (client: RedfishClient, at: At): Volumes => ({
  read: (signal) =>
    at(signal, async ({ path }) => {
      const { body: system } = await readSystem(client, path, signal)
      const walk = new Walk(client, (work) => work(signal))
      const found: StorageSeen[] = []
      for (const body of await walk.members(system.Storage)) found.push(await storageOf(body, { walk, client, signal }))
      return found
    }),

  create: (order, signal) =>
    at(signal, async () => {
      const { refusal, task } = await client.order(order.volumesPath, bodyOf(order), signal)
      if (refusal) throw faultOf(refusal, `POST ${order.volumesPath}`)
      return task
    }),

  remove: (id, signal) =>
    at(signal, async () => {
      const refusal = await client.delete(id, signal)
      if (refusal && refusal.status !== 404) throw faultOf(refusal, `DELETE ${id}`)
    }),
})

const bodyOf = ({ name, raidType, sizeBytes, drives, isImmediate }: VolumeOrder): Dict => ({
  RAIDType: raidType,
  ...(name === null ? {} : { Name: name }),
  ...(sizeBytes === null ? {} : { CapacityBytes: sizeBytes }),
  Links: { Drives: drives.map((drive) => ({ '@odata.id': drive })) },
  '@Redfish.OperationApplyTime': isImmediate ? 'Immediate' : 'OnReset',
})

interface StorageAt {
  readonly walk: Walk
  readonly client: RedfishClient
  readonly signal: AbortSignal
}

async function storageOf(body: Dict, { walk, client, signal }: StorageAt): Promise<StorageSeen> {
  const drives = (await walk.all(body.Drives)).flatMap(driveOf)
  const volumesPath = linkOf(body.Volumes)
  const collection = volumesPath === null ? undefined : await listOf(client, volumesPath, signal)
  const support = dict(collection?.['@Redfish.OperationApplyTimeSupport'])
  const times = valuesOf(support.SupportedValues)
  const volumes = (await walk.all(collection && (await walk.pages(collection)))).flatMap(volumeOf)
  return {
    id: lineOf(body.Id) ?? '',
    name: lineOf(body.Name) ?? lineOf(body.Id) ?? '',
    drives,
    volumes,
    volumesPath: collection ? volumesPath : null,
    isImmediate: times === null || times.includes('Immediate'),
  }
}

/** A volume list that cannot be read is not an empty one: only one that is not there is none. */
async function listOf(client: RedfishClient, path: string, signal: AbortSignal): Promise<Dict | undefined> {
  try {
    return (await client.get(path, signal)).body
  } catch (error) {
    if (isFault(error, 'bmc.path')) return undefined
    throw error
  }
}

function driveOf(body: Dict): DriveSeen[] {
  const id = linkOf(body)
  const sizeBytes = countOf(body.CapacityBytes)
  if (id === null || !sizeBytes) return []
  const status = dict(body.Status)
  return [
    {
      id,
      name: lineOf(body.Id) ?? lineOf(body.Name) ?? id,
      sizeBytes,
      medium: body.MediaType === 'HDD' ? 'hdd' : body.MediaType === 'SSD' ? 'ssd' : null,
      protocol: lineOf(body.Protocol, 32)?.toLowerCase() ?? null,
      model: lineOf(body.Model),
      serial: lineOf(body.SerialNumber),
      isHealthy: (status.Health ?? 'OK') === 'OK' && body.FailurePredicted !== true && isUsable(stateOf(body)),
    },
  ]
}

const isUsable = (state: string | null) =>
  state === null || ['Enabled', 'StandbyOffline', 'StandbySpare'].includes(state)

/** Names before Volume 1.3.1 -> RAIDType. */
const OLD_TYPES: Readonly<Record<string, string>> = {
  NonRedundant: 'RAID0',
  Mirrored: 'RAID1',
  StripedWithParity: 'RAID5',
  SpannedMirrors: 'RAID10',
  SpannedStripesWithParity: 'RAID50',
}

function volumeOf(body: Dict): VolumeSeen[] {
  const id = linkOf(body)
  if (id === null) return []
  const identifiers = Array.isArray(body.Identifiers) ? body.Identifiers.filter(isDict) : []
  const wwn = lineOf(identifiers.find(({ DurableNameFormat: form }) => form === 'NAA')?.DurableName)?.toLowerCase()
  return [
    {
      id,
      name: lineOf(body.DisplayName) ?? lineOf(body.Name),
      raidType: lineOf(body.RAIDType) ?? OLD_TYPES[String(body.VolumeType)] ?? null,
      sizeBytes: countOf(body.CapacityBytes),
      drives: linksOf(dict(body.Links).Drives),
      wwn: wwn === undefined ? null : wwn.replace(/^(0x)?/, '0x'),
    },
  ]
}
