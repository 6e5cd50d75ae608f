/** What the agent of a node is to do now: its order, and the index of the image that the order writes. */
import { createHash } from 'node:crypto'
import { hasBiosLoader } from '../../images/partition-disk.ts'
import type { ImageStore } from '../../images/store.ts'
import type { ImageTrust } from '../image-store/trust.ts'
import { KeyUpdates } from '../api/agent-keys.ts'
import type { Order } from '../api/agent-wire.ts'
import { currentStep, isLocked, orderId, type NodeRecord } from '../node/record.ts'
import { imageType, partitionWish } from '../node/policy/partition-source.ts'
import { isSoftwareRaidStep, keptVolumes, rebuiltVolumes, softwareRaidOrder } from '../node/policy/software-raid.ts'
import { believes } from '../node/workflow/belief.ts'
import { wantsConfigDrive } from './config-drive.ts'

export interface OrderParts {
  readonly images: ImageStore
  /** Absent: every image may be deployed. */
  readonly trust?: Pick<ImageTrust, 'check'> | undefined
  /** `http://10.0.0.1:8080`, where pieces are served. */
  readonly dataBase: string
  /** Where a node may have them nearer, as `dataBase`, the nearest first. Absent: nowhere. */
  readonly nearOf?: ((nodeUuid: string) => Promise<readonly string[]>) | undefined
  /** How long an inspection waits for announcements of switches. */
  readonly lldpSeconds: number
  /** Whether nodes that write the same image serve each other. */
  readonly swarm: boolean
}

interface Index {
  readonly id: string
  readonly text: string
  readonly sha256: string
}

const MAX_INDEXES = 16

const partitionOrder = ({ instanceInfo }: NodeRecord): Pick<Extract<Order, { kind: 'deploy' }>, 'partition'> => {
  if (imageType(instanceInfo) !== 'partition') return {}
  const { args, ...sizes } = partitionWish(instanceInfo)
  return { partition: { ...sizes, args: [...args], bios: hasBiosLoader() } }
}

export class Orders {
  private readonly parts: OrderParts
  private readonly indexes = new Map<string, Index>()

  constructor(parts: OrderParts) {
    this.parts = parts
  }

  async of(node: NodeRecord): Promise<Order | null> {
    if (
      node.workflow.phase === 'jump' &&
      believes(node, 'order') &&
      !isLocked(node) &&
      node.workflow.reboot?.jumpedAtMs
    )
      return { id: orderId(node), kind: 'jump' }
    const step = currentStep(node)
    if (!step || !believes(node, 'order') || isLocked(node)) return null
    const id = orderId(node)
    const volumes = keptVolumes(node)
    const known = volumes.length > 0 ? { volumes: volumes.map((volume) => volume.id) } : {}
    const rebuilt = rebuiltVolumes(node)
    const again = rebuilt.length > 0 ? { volumes: rebuilt } : {}
    const skip = (node.properties.skip_block_devices as Record<string, unknown>[] | undefined) ?? []
    switch (step.step) {
      case 'inspect':
      case 'collect_inventory':
        return { id, kind: 'inspect', lldpSeconds: this.parts.lldpSeconds, ...known }
      case 'erase_devices_express':
        return { id, kind: 'clean', skip, whole: false, discard: true, ...again }
      case 'erase_devices_metadata':
        return { id, kind: 'clean', skip, whole: false, ...again }
      case 'erase_devices':
        return { id, kind: 'clean', skip, whole: true, ...again }
      case 'create_configuration':
      case 'apply_configuration':
      case 'delete_configuration': {
        if (!isSoftwareRaidStep(step)) return null
        const { remove, create } = softwareRaidOrder(node, step)
        return { id, kind: 'raid', skip, remove, create: [...create] }
      }
      case 'enroll_secure_boot_keys':
        return { id, kind: 'keys', updates: KeyUpdates.parse(step.args) }
      case 'rescue':
        return { id, kind: 'rescue', passwordHash: String(node.instanceInfo.hashed_rescue_password ?? '') }
      case 'write_image': {
        if (!node.workflow.imageId) return null
        const image = await this.indexOf(node.workflow.imageId)
        const data = `/images/${image.id}/data.zst`
        const near = (await this.parts.nearOf?.(node.uuid)) ?? []
        return {
          id,
          kind: 'deploy',
          imageId: image.id,
          dataUrl: `${this.parts.dataBase}${data}`,
          ...(near.length > 0 ? { nearUrls: near.map((base) => `${base}${data}`) } : {}),
          indexSha256: image.sha256,
          rootDevice: (node.instanceInfo.root_device ?? node.properties.root_device ?? null) as Record<
            string,
            unknown
          > | null,
          configDrive: wantsConfigDrive(node),
          ...(node.workflow.reboot?.how === 'kexec' ? { kexec: true } : {}),
          ...(this.parts.swarm ? { swarm: true } : {}),
          ...partitionOrder(node),
          ...(step.args.compare === false ? { compare: false } : {}),
          ...known,
        }
      }
      default:
        return null
    }
  }

  /** An image is named by its content, so its index never changes; a rack that deploys one image requests it with every
   *  poll. */
  async indexOf(imageId: string): Promise<Index> {
    const known = this.indexes.get(imageId)
    if (known) return known
    const image = await this.parts.images.find(imageId)
    await this.parts.trust?.check(image)
    const text = JSON.stringify(image)
    const made = { id: image.id, text, sha256: createHash('sha256').update(text).digest('hex') }
    if (this.indexes.size >= MAX_INDEXES) this.indexes.delete(this.indexes.keys().next().value as string)
    this.indexes.set(imageId, made)
    return made
  }
}
