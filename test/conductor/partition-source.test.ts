/** What a request for a partition image must hold, and what is refused with it: by the rules, and over the API. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startConductor, type Conductor } from '../../conductor/conductor.ts'
import { Config } from '../../conductor/config.ts'
import { imageType, partitionSource } from '../../conductor/node/policy/partition-source.ts'
import { silentLog } from '../../kit/log.ts'
import { obedientIpmitool } from '../fake/ipmitool.ts'
import { ApiClient } from '../lab/client.ts'
import { waitForState } from './wait-state.ts'

const HEX = 'ab'.repeat(32)
const RULES = { uncheckedBootFiles: false, glance: true, s3: ['images'] }
const INSTANCE = {
  image_source: 'http://images.example/root.ext4',
  image_checksum: HEX,
  kernel: 'http://images.example/vmlinuz',
  kernel_checksum: HEX,
  ramdisk: 's3://images/initrd',
  ramdisk_checksum: HEX,
}
const HTTP = { ...INSTANCE, ramdisk: 'http://images.example/initrd' }
const STORED = { ...INSTANCE, image_source: 'debian-13', image_checksum: undefined }

describe('the type of an image', () => {
  test.each([
    [{}, 'whole-disk'],
    [{ image_type: 'whole-disk', kernel: 'a', ramdisk: 'b' }, 'whole-disk'],
    [{ kernel: 'a', ramdisk: 'b' }, 'partition'],
    [{ kernel: 'a' }, 'whole-disk'],
    [{ kernel: 'a', ramdisk: null }, 'whole-disk'],
    [{ image_type: 'partition' }, 'partition'],
  ])('%j is %s', (info, type) => expect(imageType(info)).toBe(type))

  test.each(['whole disk', '', 7, {}])('%j is refused', (type) =>
    expect(() => imageType({ image_type: type })).toThrow(
      /instance_info\/image_type: .* is not known: give whole-disk or partition/,
    ),
  )
})

describe('a partition image', () => {
  test('with everything', () => {
    const checksum = { algo: 'sha256', hex: HEX }
    expect(
      partitionSource(
        { ...INSTANCE, root_gb: '20', swap_mb: 512, ephemeral_gb: 0, kernel_append_params: 'console=ttyS0 quiet' },
        RULES,
      ),
    ).toEqual({
      image: { source: INSTANCE.image_source, checksum },
      kernel: { source: INSTANCE.kernel, checksum },
      ramdisk: { source: INSTANCE.ramdisk, checksum },
      args: ['console=ttyS0', 'quiet'],
      rootBytes: 20 * 1024 ** 3,
      swapBytes: 512 * 1024 ** 2,
    })
  })

  test('without sizes the root takes the disk, and there is no swap', () =>
    expect(partitionSource(INSTANCE, RULES)).toMatchObject({ args: [], rootBytes: null, swapBytes: 0 }))

  test.each([
    [{ kernel: undefined }, /instance_info\/kernel is missing: a partition image is started by/],
    [{ ramdisk: '' }, /instance_info\/ramdisk is missing/],
    [{ kernel_checksum: undefined }, /instance_info\/kernel_checksum is missing/],
    [{ image_checksum: undefined }, /instance_info\/image_checksum is missing/],
    [{ root_gb: 0 }, /instance_info\/root_gb: 0 is no positive integer/],
    [{ root_gb: -1 }, /instance_info\/root_gb/],
    [{ root_gb: 1.5 }, /instance_info\/root_gb/],
    [{ root_gb: 'all' }, /instance_info\/root_gb: "all" is no positive integer/],
    [{ root_gb: 2 ** 40 }, /instance_info\/root_gb: .* of at most 1048576/],
    [{ swap_mb: -1 }, /instance_info\/swap_mb: -1 is no integer/],
    [{ ephemeral_gb: 1 }, /instance_info\/ephemeral_gb: a partition for ephemeral data is not made/],
    [{ kernel_append_params: 'a `b`' }, /instance_info\/kernel_append_params: "`b`" would not reach the kernel/],
    [{ image_source: 'debian-13', image_checksum: undefined }, /image_source: images of the store are whole disks/],
    [{ image_source: 'oci://r.example/a@sha256:' + HEX }, /image_source: the parts of a partition image come from/],
    [{ kernel: 'glance://0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0' }, /kernel: the parts of a partition image/],
  ])('%j is refused', (change, message) =>
    expect(() => partitionSource({ ...INSTANCE, ...change }, RULES)).toThrow(message),
  )

  test('is checked by its checksum, whatever boot files may do', () =>
    expect(() =>
      partitionSource({ ...INSTANCE, ramdisk_checksum: undefined }, { ...RULES, uncheckedBootFiles: true }),
    ).toThrow(/instance_info\/ramdisk_checksum is missing/))
})

describe('over the API', () => {
  let dir = ''
  let conductor: Conductor
  let api: ApiClient
  let node = ''
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'rackward-partition-'))
    conductor = await startConductor(
      Config.parse({
        data: join(dir, 'data'),
        images: { store: join(dir, 'images') },
        api: { listen: [], socket: join(dir, 'api.sock'), auth: { strategy: 'noauth' } },
        provision: { automatedClean: false },
        powerSync: { everySeconds: 0 },
      }),
      { log: silentLog, run: obedientIpmitool(() => undefined), fleet: null },
    )
    api = new ApiClient(join(dir, 'api.sock'))
    const driver_info = { ipmi_address: '192.0.2.1', ipmi_username: 'u', ipmi_password: 'p' }
    node = String((await api.ok('POST', '/v1/nodes', { driver: 'ipmi', driver_info })).uuid)
    for (const [target, state] of [
      ['manage', 'manageable'],
      ['provide', 'available'],
    ] as const) {
      await api.ok('PUT', `/v1/nodes/${node}/states/provision`, { target })
      await waitForState(api, node, [state])
    }
  })
  afterAll(async () => {
    await conductor?.stop()
    await rm(dir, { recursive: true, force: true })
  })

  test.each([
    [{ ...INSTANCE, image_type: 'bootc' }, 'is not known: give whole-disk or partition'],
    [{ ...INSTANCE, image_type: 'partition', kernel: undefined }, 'instance_info/kernel is missing'],
    [{ ...INSTANCE, root_gb: 'big' }, 'instance_info/root_gb'],
    [STORED, 'images of the store are whole disks'],
    [HTTP, 'instance_info/image_type: boot.loaders has no bootx64.efi and grubx64.efi'],
  ])('%j is refused with 400, and by the validation', async (given, message) => {
    const instance_info = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
    await api.ok('PATCH', `/v1/nodes/${node}`, [{ op: 'add', path: '/instance_info', value: instance_info }])
    const answer = await api.call('PUT', `/v1/nodes/${node}/states/provision`, { target: 'active' })
    expect(answer.status).toBe(400)
    expect(JSON.stringify(answer.body)).toContain(message)
    expect(JSON.stringify(await api.ok('GET', `/v1/nodes/${node}/validate`))).toContain('instance_info/')
    expect(await api.ok('GET', `/v1/nodes/${node}`)).toMatchObject({ provision_state: 'available' })
  })
})
