/** GRUB's loader is moved from an image to the disks of a volume: every sector number in it moves along, and nothing
 *  else changes. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { findCore, moveCore } from '../../../host-agent/deploy/raid/grub.ts'
import { biosBoot } from '../../../images/recipes/grub.ts'

const SECTOR = 512
/** As grub-install leaves it: boot code that loads sector `at`, whose last bytes list the blocks of the rest. */
function disk(at: number, blocks: [first: number, count: number][], sectors = 4_096): Buffer {
  const bytes = Buffer.alloc(sectors * SECTOR)
  bytes.write('GRUB \0Geom\0Hard Disk\0', 0x180, 'latin1')
  bytes.writeBigUInt64LE(BigInt(at), 0x5c)
  for (const [i, [first, count]] of blocks.entries()) {
    const offset = at * SECTOR + 0x1f4 - 12 * i
    bytes.writeBigUInt64LE(BigInt(first), offset)
    bytes.writeUInt16LE(count, offset + 8)
  }
  return bytes
}
const find = (bytes: Buffer) =>
  findCore(bytes.subarray(0, SECTOR), (sector) =>
    Promise.resolve(bytes.subarray(sector * SECTOR, (sector + 1) * SECTOR)),
  )

test('the core image is found by its list of blocks, and moves with all of them', async () => {
  const bytes = disk(34, [
    [35, 60],
    [95, 20],
  ])
  expect(await find(bytes)).toEqual({ at: 34, sectors: 81 })
  const core = bytes.subarray(34 * SECTOR, 115 * SECTOR)
  const moved = moveCore({ mbr: bytes.subarray(0, SECTOR), core }, 34, 2_048)
  const target = Buffer.alloc(4_096 * SECTOR)
  moved.bootCode.copy(target, 0)
  moved.core.copy(target, 2_048 * SECTOR)
  expect(await find(target)).toEqual({ at: 2_048, sectors: 81 })
  expect(moved.bootCode).toHaveLength(440)
  expect(moveCore({ mbr: target.subarray(0, SECTOR), core: moved.core }, 2_048, 34).core.equals(core)).toBe(true)
})

test('boot code that is not GRUB’s has no core image', async () => {
  expect(await find(Buffer.alloc(64 * SECTOR))).toBeUndefined()
})

test('a core image that lies in front of its first sector is refused', async () => {
  await expect(find(disk(100, [[20, 5]]))).rejects.toMatchObject({ code: 'deploy.firmware' })
})

test('a loader made by GRUB is the same as one made for the new place', async () => {
  const workDir = await mkdtemp(join(tmpdir(), 'rackward-grub-'))
  try {
    const [here, there] = [
      await biosBoot({ workDir, early: 'echo', coreLba: 2_048 }),
      await biosBoot({ workDir, early: 'echo', coreLba: 16_384 }),
    ]
    const mbr = Buffer.concat([here.mbrCode, Buffer.alloc(SECTOR - here.mbrCode.length)])
    const found = await findCore(mbr, () => Promise.resolve(here.core.subarray(0, SECTOR)))
    expect(found).toEqual({ at: 2_048, sectors: Math.ceil(here.core.length / SECTOR) })
    const moved = moveCore({ mbr, core: here.core }, 2_048, 16_384)
    expect(moved.bootCode.equals(there.mbrCode)).toBe(true)
    expect(moved.core.equals(there.core)).toBe(true)
  } finally {
    await rm(workDir, { recursive: true })
  }
})
