/** A partition image in the conductor: made once of its parts, private to who names them, made anew when it is damaged;
 *  which nodes cannot have one; what the agent is told, and what an older one is taken for. */
import { createHash, randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Orders } from '../../conductor/agents/orders.ts'
import { doneEvent } from '../../conductor/agents/results.ts'
import { checkPartitionNode } from '../../conductor/node/policy/partition-source.ts'
import { planDeploy } from '../../conductor/node/policy/steps.ts'
import { isPrivate } from '../../conductor/node/run/image-place.ts'
import { ImageSource } from '../../conductor/node/run/image-source.ts'
import { checkRootSize } from '../../conductor/node/run/partition-images.ts'
import { ImportBudget } from '../../images/budget.ts'
import { diskBytesFor } from '../../images/partition-layout.ts'
import { hasBiosLoader } from '../../images/partition-disk.ts'
import { ImageStore } from '../../images/store.ts'
import { systemClock } from '../../kit/clock.ts'
import { silentLog } from '../../kit/log.ts'
import { runOk } from '../../kit/run.ts'
import { loader } from '../images/efi-disk.ts'
import { noRegistry } from '../images/import-bench.ts'
import { inState } from './node-step-bench.ts'

const MIB = 1024 * 1024
const GIB = 1024 * MIB
let dir = ''
let store: ImageStore
let sources: ImageSource
let instanceInfo: Record<string, unknown> = {}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-partition-images-'))
  store = new ImageStore(join(dir, 'store'))
  await mkdir(join(dir, 'loaders'))
  const kernel = Buffer.concat([loader(true), Buffer.alloc(MIB, 'linux')])
  kernel.write('HdrS', 0x202, 'latin1')
  const root = join(dir, 'root')
  await writeFile(root, '')
  await truncate(root, 8 * MIB)
  await runOk(['mke2fs', '-q', '-F', '-t', 'ext4', root], { timeoutMs: 60_000 })
  const ramdisk = randomBytes(MIB)
  for (const [name, bytes] of Object.entries({ kernel, ramdisk, 'loaders/bootx64.efi': loader(true) }))
    await writeFile(join(dir, name), bytes)
  const sum = await runOk(['sha256sum', root], { timeoutMs: 60_000 })
  const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')
  instanceInfo = {
    image_source: `file://${root}`,
    image_checksum: sum.slice(0, 64),
    kernel: `file://${join(dir, 'kernel')}`,
    kernel_checksum: sha256(kernel),
    ramdisk: `file://${join(dir, 'ramdisk')}`,
    ramdisk_checksum: sha256(ramdisk),
  }
  sources = new ImageSource({
    glance: undefined,
    oci: noRegistry,
    store,
    allowedPaths: [dir],
    loaders: join(dir, 'loaders'),
    budget: new ImportBudget({}, systemClock),
    guard: { allowedHosts: [] },
  })
})
afterAll(() => rm(dir, { recursive: true }))

const asked = (more: object = {}) => ({ instanceInfo: { ...instanceInfo, ...more }, workflow: { project: null } })

describe('the image', () => {
  test('is refused with the key of the configuration while there is no signed GRUB', async () => {
    await expect(sources.resolve(asked())).rejects.toThrow(/boot\.loaders has no grubx64\.efi/)
    expect(await sources.known(asked())).toBeUndefined()
    await writeFile(join(dir, 'loaders/grubx64.efi'), randomBytes(1000))
  })

  test(
    'is made once, known to who names its parts, and made anew when it is damaged',
    { timeout: 120_000 },
    async () => {
      expect(await sources.known(asked())).toBeUndefined()
      const [one, two] = await Promise.all([sources.resolve(asked()), sources.resolve(asked({ root_gb: 2 }))])
      expect(two.id).toBe(one.id)
      expect(isPrivate(one)).toBe(true)
      expect((await sources.known(asked()))?.id).toBe(one.id)
      expect(await sources.known(asked({ kernel_checksum: 'a'.repeat(64) }))).toBeUndefined()

      await store.setDamaged(one.id, [0])
      expect((await sources.resolve(asked())).id).toBe(one.id)
      expect(await store.damagedOf(one.id)).toEqual([])
    },
  )

  test('with another GRUB is another one', async () => {
    expect(await sources.known(asked())).toBeDefined()
    await writeFile(join(dir, 'loaders/grubx64.efi'), randomBytes(1001))
    expect(await sources.known(asked())).toBeUndefined()
  })

  test('that is larger than root_gb is refused before the server is touched', () => {
    const image = { sizeBytes: diskBytesFor(GIB) }
    expect(() => checkRootSize({ rootBytes: GIB }, image)).not.toThrow()
    expect(() => checkRootSize({ rootBytes: null }, image)).not.toThrow()
    expect(() => checkRootSize({ rootBytes: GIB - 1 }, image)).toThrow(/instance_info\/root_gb: the file system .* has/)
  })
})

describe('a node', () => {
  const node = (more: object) => ({ bootMode: null, properties: {}, instanceInfo: {}, ...more })
  test.each([
    [{}, true],
    [{ bootMode: 'uefi' }, true],
    [{ bootMode: 'bios', properties: { capabilities: 'boot_mode:uefi' } }, true],
    [{ properties: { capabilities: 'boot_mode:bios' }, instanceInfo: { capabilities: { boot_mode: 'uefi' } } }, true],
    [{ bootMode: 'bios' }, false],
    [{ properties: { capabilities: 'boot_mode:bios' } }, false],
    [{ properties: { cpu_arch: 'x86_64' } }, true],
    [{ properties: { cpu_arch: 'aarch64' } }, false],
  ])('%j can have one: %s', (more, can) => {
    const check = () => checkPartitionNode(node(more) as never, { partitionLoaders: true })
    if (can) expect(check).not.toThrow()
    else expect(check).toThrow(/instance_info\/image_type: .*give a whole-disk image/)
  })

  test('with a BIOS can where the conductor has a loader for it', () => {
    const check = (partitionBios: boolean) =>
      checkPartitionNode(node({ bootMode: 'bios' }) as never, { partitionLoaders: true, partitionBios })
    expect(() => check(true)).not.toThrow()
    expect(() => check(false)).toThrow(/image_type: .* install grub-pc-bin and grub-common/)
  })

  test.each<[string, object, object]>([
    ['a root that fits', { local_gb: '19' }, { root_gb: 19 }],
    ['all of the disk', { local_gb: 5 }, {}],
    ['a size of the disk that is not known', { local_gb: null }, { root_gb: 500 }],
    ['another disk for this deploy', { local_gb: 5 }, { root_gb: 9, root_device: { name: '/dev/sdb' } }],
    ['boot_option local', {}, { capabilities: 'boot_mode:uefi,boot_option:local' }],
    ['boot_option local in an object', {}, { capabilities: { boot_option: 'local', boot_mode: 'uefi' } }],
  ])('%s is taken', (_, properties, instanceInfo) =>
    expect(() =>
      checkPartitionNode(node({ properties, instanceInfo }) as never, { partitionLoaders: true }),
    ).not.toThrow(),
  )

  test.each<[object, object, RegExp]>([
    [{ local_gb: 19 }, { root_gb: 20 }, /instance_info\/root_gb: 20 GiB do not fit on the disk of the node/],
    [{ local_gb: '9' }, { root_gb: '9', swap_mb: 1024 }, /root_gb: 9 GiB with 1024 MiB of swap do not fit/],
    [{ local_gb: 9 }, { swap_mb: 10240 }, /instance_info\/swap_mb: /],
    [{}, { capabilities: 'a:b,boot_option:netboot' }, /instance_info\/capabilities: .*boot_option can be local alone/],
    [{}, { capabilities: { boot_option: 'netboot' } }, /boot_option can be local alone/],
    [{ root_device: { volume_name: 'root' } }, {}, /image_type: a partition image does not start from software RAID/],
  ])('%j with %j is refused', (properties, instanceInfo, why) =>
    expect(() => checkPartitionNode(node({ properties, instanceInfo }) as never, { partitionLoaders: true })).toThrow(
      why,
    ),
  )

  test('of a conductor without signed loaders cannot', () =>
    expect(() => checkPartitionNode(node({}) as never, { partitionLoaders: false })).toThrow(/set boot\.loaders/))
})

/** A node whose agent is to write this image. */
function writing(instance: Record<string, unknown>, imageId: string) {
  const waits = inState('wait call-back')
  const workflow = { ...waits.workflow, order: 'deploy', phase: 'agent', imageId, steps: planDeploy([]) } as const
  return { ...waits, instanceInfo: instance, workflow, reservation: null }
}

test('the agent is told sizes and arguments, for a partition image alone', async () => {
  const id = (await store.list())[0]?.id ?? ''
  const orders = new Orders({ images: store, dataBase: 'http://192.0.2.1', lldpSeconds: 0, swarm: false })
  const wish = { root_gb: 3, swap_mb: 64, kernel_append_params: 'quiet' }
  expect(await orders.of(writing({ ...instanceInfo, ...wish }, id))).toMatchObject({
    kind: 'deploy',
    partition: { args: ['quiet'], bios: hasBiosLoader(), rootBytes: 3 * 1024 * MIB, swapBytes: 64 * MIB },
  })
  expect(await orders.of(writing({ image_source: 'x', ...wish }, id))).not.toHaveProperty('partition')
})

test('an agent that knows nothing of partition images has not deployed one', async () => {
  const parts = {
    store: { journal: { add: async () => undefined } },
    sightings: { of: () => ({}) },
    clock: systemClock,
    log: silentLog,
  } as unknown as Parameters<typeof doneEvent>[2]
  const rootDisk = { name: '/dev/vda', serial: 's', wwn: null, sizeBytes: 9 } as never
  const node = writing(instanceInfo, 'a')
  expect(await doneEvent(node, { rootDisk }, parts)).toMatchObject({
    type: 'agent-failed',
    fault: { code: 'agent.broken', text: expect.stringContaining('older than partition images') as string },
  })
  expect(await doneEvent(node, { rootDisk, partitioned: true }, parts)).toMatchObject({ type: 'agent-done' })
})
