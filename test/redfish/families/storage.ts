/** Storage 1.15, Drive 1.17, Volume 1.9: RAID controllers that make volumes at once or at the next start, and an HBA
 *  that makes none. */
import { collection, isDict, link, resource, SYSTEM } from '../tree.ts'
import type { Answer, Ask, Dict, Refusal } from '../tree.ts'
import type { VirtualBmc } from '../virtual-bmc.ts'

const STORAGE = `${SYSTEM}/Storage`
const GB = 1000 ** 3
/** RAIDType -> drives that it takes at least, and drives' worth of data. */
const TYPES: Readonly<Record<string, readonly [least: number, data: (drives: number) => number]>> = {
  RAID0: [1, (n) => n],
  RAID1: [2, () => 1],
  RAID5: [3, (n) => n - 1],
  RAID6: [4, (n) => n - 2],
  RAID10: [4, (n) => n / 2],
  RAID50: [6, (n) => n - 2],
  RAID60: [8, (n) => n - 4],
}

export interface VirtualDrive {
  readonly id: string
  readonly sizeBytes: number
  readonly medium: 'HDD' | 'SSD'
  readonly protocol: string
}

export interface VirtualVolume {
  readonly id: string
  readonly name: string
  readonly raidType: string
  readonly sizeBytes: number
  readonly drives: readonly string[]
  readonly wwn: string
}

export interface VirtualController {
  readonly id: string
  readonly drives: readonly VirtualDrive[]
  /** When a volume comes; `never`: the controller has no list of volumes. */
  readonly makes: 'immediate' | 'on-reset' | 'never'
  readonly volumes: Map<string, VirtualVolume>
  /** For the next start. */
  readonly pending: VirtualVolume[]
}

const drives = (count: number, drive: Omit<VirtualDrive, 'id'>, first = 0): VirtualDrive[] =>
  Array.from({ length: count }, (_, i) => ({ ...drive, id: `Disk.Bay.${first + i}` }))

export class StorageFamily {
  readonly controllers: readonly VirtualController[]
  private readonly bmc: VirtualBmc
  private next = 1

  constructor(bmc: VirtualBmc) {
    this.bmc = bmc
    const empty = () => ({ volumes: new Map<string, VirtualVolume>(), pending: [] as VirtualVolume[] })
    this.controllers = [
      {
        id: 'RAID.1',
        drives: [
          ...drives(4, { sizeBytes: 480 * GB, medium: 'SSD', protocol: 'SAS' }),
          ...drives(4, { sizeBytes: 4_000 * GB, medium: 'HDD', protocol: 'SATA' }, 4),
        ],
        makes: 'immediate',
        ...empty(),
      },
      {
        id: 'BOSS.1',
        drives: drives(2, { sizeBytes: 240 * GB, medium: 'SSD', protocol: 'SATA' }, 20),
        makes: 'on-reset',
        ...empty(),
      },
      {
        id: 'AHCI.1',
        drives: drives(2, { sizeBytes: 1_000 * GB, medium: 'HDD', protocol: 'SATA' }, 30),
        makes: 'never',
        ...empty(),
      },
    ]
    const { tree } = bmc
    tree.extend(SYSTEM, () => ({ Storage: link(STORAGE) }))
    tree.add(STORAGE, {
      get: () =>
        collection(
          STORAGE,
          '#StorageCollection.StorageCollection',
          this.controllers.map(({ id }) => `${STORAGE}/${id}`),
        ),
    })
    tree.add(`${STORAGE}/:storage`, { get: ({ storage }) => this.storage(this.find(storage)) })
    tree.add(`${STORAGE}/:storage/Drives/:drive`, { get: ({ storage, drive }) => driveView(this.find(storage), drive) })
    tree.add(`${STORAGE}/:storage/Volumes`, {
      get: ({ storage }) => this.list(this.find(storage)),
      post: (ask) => this.create(ask),
    })
    tree.add(`${STORAGE}/:storage/Volumes/:volume`, {
      get: ({ storage, volume = '' }) => {
        const controller = this.find(storage)
        return controller && volumeView(controller, controller.volumes.get(volume))
      },
      delete: ({ params: { storage, volume = '' } }) =>
        this.find(storage)?.volumes.delete(volume)
          ? { status: 204 }
          : { status: 404, id: 'ResourceMissingAtURI', args: [volume] },
    })
    bmc.on('started', () => this.apply())
  }

  /** All volumes of all controllers. */
  get volumes(): VirtualVolume[] {
    return this.controllers.flatMap(({ volumes }) => [...volumes.values()])
  }

  private find = (id: string | undefined) => this.controllers.find((controller) => controller.id === id)

  private storage(controller: VirtualController | undefined): Dict | undefined {
    if (!controller) return undefined
    const at = `${STORAGE}/${controller.id}`
    return resource(at, '#Storage.v1_15_1.Storage', {
      Status: { State: 'Enabled', Health: 'OK' },
      Drives: controller.drives.map(({ id }) => link(`${at}/Drives/${id}`)),
      ...(controller.makes === 'never' ? {} : { Volumes: link(`${at}/Volumes`) }),
    })
  }

  private list(controller: VirtualController | undefined): Dict | undefined {
    if (!controller || controller.makes === 'never') return undefined
    const at = `${STORAGE}/${controller.id}/Volumes`
    return {
      ...collection(
        at,
        '#VolumeCollection.VolumeCollection',
        [...controller.volumes.keys()].map((id) => `${at}/${id}`),
      ),
      '@Redfish.OperationApplyTimeSupport': {
        '@odata.type': '#Settings.v1_3_5.OperationApplyTimeSupport',
        SupportedValues: controller.makes === 'immediate' ? ['Immediate', 'OnReset'] : ['OnReset'],
      },
    }
  }

  private create({ body, params }: Ask): Answer | Refusal {
    const controller = this.find(params.storage)
    if (!controller) return { status: 404, id: 'ResourceMissingAtURI', args: [String(params.storage)] }
    const type = TYPES[String(body.RAIDType)]
    if (!type) return { status: 400, id: 'PropertyValueNotInList', args: [String(body.RAIDType), 'RAIDType'] }
    const links = isDict(body.Links) && Array.isArray(body.Links.Drives) ? body.Links.Drives.filter(isDict) : []
    const wanted = links.map((one) =>
      controller.drives.find(({ id }) => String(one['@odata.id']).endsWith(`/Drives/${id}`)),
    )
    const own = wanted.filter((drive) => drive !== undefined)
    if (own.length !== wanted.length || own.length < type[0])
      return { status: 400, id: 'PropertyValueError', args: ['Links/Drives'] }
    const used = new Set([...controller.volumes.values(), ...controller.pending].flatMap((volume) => volume.drives))
    const taken = own.find(({ id }) => used.has(id))
    if (taken) return { status: 409, id: 'ResourceInUse', args: [taken.id] }
    const most = type[1](own.length) * Math.min(...own.map(({ sizeBytes }) => sizeBytes))
    const sizeBytes = body.CapacityBytes === undefined ? most : Number(body.CapacityBytes)
    if (!(sizeBytes > 0 && sizeBytes <= most))
      return { status: 400, id: 'PropertyValueOutOfRange', args: [String(body.CapacityBytes), 'CapacityBytes'] }
    const time = body['@Redfish.OperationApplyTime'] ?? (controller.makes === 'immediate' ? 'Immediate' : 'OnReset')
    if (time === 'Immediate' && controller.makes !== 'immediate')
      return { status: 400, id: 'PropertyValueNotInList', args: ['Immediate', '@Redfish.OperationApplyTime'] }

    const id = String(this.next++)
    const volume: VirtualVolume = {
      id,
      name: String(body.Name ?? `Virtual Disk ${id}`),
      raidType: String(body.RAIDType),
      sizeBytes,
      drives: own.map((drive) => drive.id),
      wwn: `64cd98f0c0ffee00${id.padStart(16, '0')}`,
    }
    const { task, accepted } = this.bmc.families.tasks.begin(`Create ${volume.name}`, {
      state: time === 'Immediate' ? 'Running' : 'Pending',
    })
    if (time === 'Immediate') {
      controller.volumes.set(id, volume)
      Object.assign(task, { state: 'Completed', percent: 100 })
    } else controller.pending.push(volume)
    return accepted
  }

  /** Firmware of the controllers works at a start. */
  private apply(): void {
    for (const { pending, volumes } of this.controllers)
      for (const volume of pending.splice(0)) volumes.set(volume.id, volume)
  }
}

function driveView(controller: VirtualController | undefined, id: string | undefined): Dict | undefined {
  const drive = controller?.drives.find((one) => one.id === id)
  if (!controller || !drive) return undefined
  return resource(`${STORAGE}/${controller.id}/Drives/${drive.id}`, '#Drive.v1_17_0.Drive', {
    CapacityBytes: drive.sizeBytes,
    MediaType: drive.medium,
    Protocol: drive.protocol,
    Model: `Virtual ${drive.medium}`,
    SerialNumber: `SN-${drive.id}`,
    Status: { State: 'Enabled', Health: 'OK' },
  })
}

function volumeView(controller: VirtualController, volume: VirtualVolume | undefined): Dict | undefined {
  if (!volume) return undefined
  const at = `${STORAGE}/${controller.id}`
  return resource(`${at}/Volumes/${volume.id}`, '#Volume.v1_9_0.Volume', {
    Name: volume.name,
    RAIDType: volume.raidType,
    CapacityBytes: volume.sizeBytes,
    Identifiers: [{ DurableName: volume.wwn.toUpperCase(), DurableNameFormat: 'NAA' }],
    Links: { Drives: volume.drives.map((id) => link(`${at}/Drives/${id}`)) },
    Status: { State: 'Enabled', Health: 'OK' },
  })
}
