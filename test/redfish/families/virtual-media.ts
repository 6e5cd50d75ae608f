/** VirtualMedia 1.6: drives of the system whose image the BMC fetches, with insert and eject. */
import { collection, link, resource, SYSTEM, type Dict, type Outcome } from '../tree.ts'
import type { VirtualBmc } from '../virtual-bmc.ts'

export const MEDIA = `${SYSTEM}/VirtualMedia`
/** Paths of one drive, and of its actions. */
export const DRIVE = `${MEDIA}/:drive`
export const INSERT = `${DRIVE}/Actions/VirtualMedia.InsertMedia`
export const EJECT = `${DRIVE}/Actions/VirtualMedia.EjectMedia`

interface Drive {
  readonly types: readonly string[]
  image: string | null
  inserted: boolean
}

export class VirtualMedia {
  readonly drives = new Map<string, Drive>([
    ['CD1', { types: ['CD', 'DVD'], image: null, inserted: false }],
    ['USB1', { types: ['USBStick', 'Floppy'], image: null, inserted: false }],
  ])
  /** What happened, in order, with the power at that moment. */
  readonly acts: string[] = []
  private readonly bmc: VirtualBmc

  constructor(bmc: VirtualBmc) {
    this.bmc = bmc
    const { tree } = bmc
    tree.extend(SYSTEM, () => ({ VirtualMedia: link(MEDIA) }))
    tree.add(MEDIA, {
      get: () =>
        collection(
          MEDIA,
          '#VirtualMediaCollection.VirtualMediaCollection',
          [...this.drives.keys()].map((name) => `${MEDIA}/${name}`),
        ),
    })
    tree.add(DRIVE, { get: ({ drive = '' }) => this.drive(drive) })
    tree.add(INSERT, { post: ({ params, body }) => this.insert(params.drive ?? '', body) })
    tree.add(EJECT, { post: ({ params }) => this.eject(params.drive ?? '') })
    // Without actions, as on older Lenovo: the properties themselves are written.
    tree.writable(DRIVE, 'Image', (image, ask) => {
      const name = ask.path.split('/').at(-1) ?? ''
      if (typeof image === 'string') this.put(name, image)
      else this.take(name)
    })
    tree.writable(DRIVE, 'Inserted', () => undefined)
    // A restart of the BMC drops its media.
    bmc.on('bmc-restart', () => [...this.drives.keys()].forEach((name) => this.take(name)))
  }

  put(name: string, image: string): void {
    const drive = this.drives.get(name)
    if (!drive) return
    Object.assign(drive, { image, inserted: true })
    this.acts.push(`insert ${name} while ${this.bmc.machine.power}`)
    void this.bmc.machine.setMedium(name, image)
  }

  take(name: string): void {
    const drive = this.drives.get(name)
    if (!drive || (!drive.inserted && drive.image === null)) return
    Object.assign(drive, { image: null, inserted: false })
    this.acts.push(`eject ${name} while ${this.bmc.machine.power}`)
    void this.bmc.machine.setMedium(name, null)
  }

  private drive(name: string): Dict | undefined {
    const drive = this.drives.get(name)
    if (!drive) return undefined
    const path = `${MEDIA}/${name}`
    return resource(path, '#VirtualMedia.v1_6_0.VirtualMedia', {
      Id: name,
      MediaTypes: drive.types,
      Image: drive.image,
      ImageName: drive.image?.split('/').at(-1) ?? null,
      Inserted: drive.inserted,
      ConnectedVia: drive.inserted ? 'URI' : 'NotConnected',
      WriteProtected: true,
      Actions: {
        '#VirtualMedia.InsertMedia': { target: `${path}/Actions/VirtualMedia.InsertMedia` },
        '#VirtualMedia.EjectMedia': { target: `${path}/Actions/VirtualMedia.EjectMedia` },
      },
    })
  }

  private insert(name: string, { Image }: Dict): Outcome {
    const drive = this.drives.get(name)
    if (!drive) return { status: 404, id: 'ResourceMissingAtURI', args: [name] }
    if (typeof Image !== 'string' || !URL.canParse(Image))
      return { status: 400, id: 'ActionParameterMissing', args: ['InsertMedia', 'Image'] }
    if (drive.inserted) return { status: 409, id: 'ResourceInUse' }
    this.put(name, Image)
    return { status: 204 }
  }

  private eject(name: string): Outcome {
    if (!this.drives.has(name)) return { status: 404, id: 'ResourceMissingAtURI', args: [name] }
    this.take(name)
    return { status: 204 }
  }
}
