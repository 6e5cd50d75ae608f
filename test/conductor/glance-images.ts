/** Images as Glance 25 (2022.2) describes them: good ones, and one of each kind that must not be deployed. */
import { createHash } from 'node:crypto'

export const DISK = Buffer.alloc(1024 * 1024, 'disk')
DISK.writeUInt16LE(0xaa55, 510)
export const KERNEL = Buffer.alloc(5000, 'kernel')
export const sha512 = (bytes: Buffer) => createHash('sha512').update(bytes).digest('hex')
export const id = (n: number) => `9f1b6c7e-0000-4000-8000-${String(n).padStart(12, '0')}`

/** What Glance 25 (2022.2) answers for an image. */
const image = (n: number, bytes: Buffer, more: object = {}) => ({
  id: id(n),
  name: `image-${n}`,
  disk_format: 'raw',
  container_format: 'bare',
  visibility: 'public',
  size: bytes.length,
  virtual_size: null,
  status: 'active',
  checksum: createHash('md5').update(bytes).digest('hex'),
  protected: false,
  min_ram: 0,
  min_disk: 0,
  owner: 'p-cloud',
  os_hidden: false,
  os_hash_algo: 'sha512',
  os_hash_value: sha512(bytes),
  created_at: '2026-11-21T10:00:00Z',
  updated_at: '2026-11-21T10:00:00Z',
  tags: [],
  self: `/v2/images/${id(n)}`,
  file: `/v2/images/${id(n)}/file`,
  schema: '/v2/schemas/image',
  ...more,
})
export const IMAGES: Record<string, { meta: object; bytes: Buffer }> = {
  [id(1)]: { meta: image(1, DISK), bytes: DISK },
  [id(2)]: { meta: image(2, DISK, { os_hash_value: 'a'.repeat(128) }), bytes: DISK },
  [id(3)]: { meta: image(3, DISK, { status: 'queued' }), bytes: DISK },
  [id(4)]: { meta: image(4, DISK, { os_hash_algo: null, os_hash_value: null }), bytes: DISK },
  [id(5)]: { meta: image(5, DISK, { disk_format: 'vmdk' }), bytes: DISK },
  [id(6)]: { meta: image(6, DISK, { disk_format: 'qcow2' }), bytes: DISK },
  [id(7)]: { meta: image(7, DISK, { container_format: 'ova' }), bytes: DISK },
  [id(8)]: { meta: image(8, KERNEL, { disk_format: 'aki', container_format: 'aki' }), bytes: KERNEL },
  [id(9)]: { meta: image(9, DISK, { visibility: 'private', owner: 'p-a' }), bytes: DISK },
  [id(10)]: { meta: image(10, DISK, { visibility: 'shared', owner: 'p-a' }), bytes: DISK },
}
