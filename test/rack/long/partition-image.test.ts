/** A blank server becomes a running Debian from a partition image: its root file system, kernel and ramdisk as files,
 *  on UEFI, again where Secure Boot is on, and by BIOS; the root of its size, swap, and the kernel arguments of the
 *  node. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { piped, runOk } from '../../../kit/run.ts'
import { addressOf, configDrive, enroll, login, provision } from '../../lab/journey.ts'
import { onServer, openBench, useDebian, type Bench } from '../setup.ts'

const GIB = 1024 ** 3
const SECTOR_BYTES = 512
const TIMEOUT_MS = 300_000
const SPEC = { card: 'virtio', diskKind: 'virtio', diskBytes: 6 * GIB, memoryMb: 1536 } as const
const PLAIN = { ...SPEC, name: 'plain-1', firmware: 'uefi', bmc: 'redfish' } as const
const BIOS = { ...SPEC, name: 'bios-1', firmware: 'bios' } as const
const SECURE = { ...SPEC, name: 'secure-1', firmware: 'uefi', secureBoot: true } as const

let bench: Bench
let instance: Record<string, unknown> = {}
beforeAll(async () => {
  bench = await openBench('partition', {})
  await bench.conductor.start()
  instance = await partsOfDebian()
}, TIMEOUT_MS)
afterAll(() => bench?.rack.down())

/** The root file system, the kernel and the ramdisk of the lab's Debian, as files that the conductor may read. */
async function partsOfDebian(): Promise<Record<string, unknown>> {
  const { rack, store } = bench
  const index = await store.find(await useDebian(bench))
  const raw = join(rack.dir, 'debian.raw')
  await writeFile(raw, '')
  await truncate(raw, index.sizeBytes)
  const data = await open(store.dataPath(index.id))
  const disk = await open(raw, 'r+')
  for (const [number, { zero, at, lengthBytes }] of index.pieces.entries()) {
    if (zero) continue
    const { buffer } = await data.read(Buffer.alloc(lengthBytes), 0, lengthBytes, at)
    const child = piped(['zstd', '-dcq'])
    child.stdin.end(buffer)
    let to = number * index.pieceBytes
    for await (const chunk of child.stdout) to += (await disk.write(chunk as Buffer, 0, undefined, to)).bytesWritten
    await child.done
  }
  await data.close()
  await disk.close()
  const dump = JSON.parse(await runOk(['sfdisk', '--json', raw], { timeoutMs: TIMEOUT_MS })) as {
    partitiontable: { partitions: { name: string; start: number; size: number }[] }
  }
  const root = dump.partitiontable.partitions.find(({ name }) => name === 'root')
  if (!root) throw new Error('the Debian image has no root partition')
  const volume = join(rack.dir, 'root.ext4')
  const place = [`skip=${root.start * SECTOR_BYTES}`, `count=${root.size * SECTOR_BYTES}`]
  const flags = ['iflag=skip_bytes,count_bytes', 'bs=1M', 'conv=sparse', 'status=none']
  await runOk(['dd', `if=${raw}`, `of=${volume}`, ...place, ...flags], { timeoutMs: TIMEOUT_MS })
  await truncate(volume, root.size * SECTOR_BYTES)
  await rm(raw)
  const files: Record<string, string> = { image: volume }
  for (const [name, link] of [
    ['kernel', 'vmlinuz'],
    ['ramdisk', 'initrd.img'],
  ] as const) {
    const said = await runOk(['debugfs', '-R', `stat /${link}`, volume], { timeoutMs: TIMEOUT_MS })
    const target = /Fast link dest: "([^"]+)"/.exec(said)?.[1]
    files[name] = join(rack.dir, name)
    await runOk(['debugfs', '-R', `dump /${target} ${files[name]}`, volume], { timeoutMs: TIMEOUT_MS })
  }
  const info: Record<string, unknown> = {}
  for (const [name, path] of Object.entries(files)) {
    const hash = createHash('sha256')
    await pipeline(createReadStream(path), hash)
    info[name === 'image' ? 'image_source' : name] = `file://${path}`
    info[`${name}_checksum`] = hash.digest('hex')
  }
  return info
}

test.each([SECURE, PLAIN, BIOS])('$name', { timeout: 900_000 }, async (spec) => {
  const { api } = bench.conductor
  const server = await bench.rack.addServer(spec)
  const node = await enroll(api, server)
  await provision(api, node, { target: 'manage' }, { to: 'manageable' })
  await provision(api, node, { target: 'provide' }, { to: 'available' })
  const wish = { root_gb: 4, swap_mb: 256, kernel_append_params: 'console=ttyS0,115200n8 rackward.test=partition' }
  await api.ok('PATCH', `/v1/nodes/${node}`, [{ op: 'add', path: '/instance_info', value: { ...instance, ...wish } }])
  const publicKey = (await readFile(join(bench.rack.dir, 'id_ed25519.pub'), 'utf8')).trim()
  await provision(api, node, { target: 'active', configdrive: configDrive(server, publicKey) }, { to: 'active' })
  const address = await addressOf(api, node, server.mac)
  await login(bench.rack, address, server.name)

  const said = (command: string) => onServer(bench.rack, address, command)
  expect(await said('cat /proc/cmdline')).toMatch(
    /^BOOT_IMAGE=\S*\/kernel root=UUID=\S+ ro console=ttyS0,115200n8 rackward\.test=partition$/,
  )
  const disks = await said('lsblk -brno PARTLABEL,SIZE,FSTYPE /dev/vda')
  expect(disks).toContain(`root ${4 * GIB} ext4`)
  expect(disks).toContain(`swap ${256 * 1024 ** 2} swap`)
  expect(disks).toMatch(/^config-2 /m)
  expect(Number(await said('df -B1 --output=size / | tail -1'))).toBeGreaterThan(3.5 * GIB)
  // systemd takes a swap partition into use by its type.
  expect(await said('cat /proc/swaps')).toContain('/dev/vda5')
  if (spec === SECURE) expect(await said('cat /sys/kernel/security/lockdown')).toContain('[integrity]')
  await bench.rack.cutPower(server)
})
