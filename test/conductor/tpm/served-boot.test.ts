/** What a proof is held against is what the boot services serve: the same words, and the digests of the
 *  same files. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import type { BootClient } from '../../../conductor/boot/orders.ts'
import { ramdiskOrder, scriptUrl } from '../../../conductor/boot/ramdisk-order.ts'
import { kernelArgs } from '../../../conductor/boot/render.ts'
import { servedTo, type ServedParts } from '../../../conductor/boot/served-boot.ts'
import { newNode } from '../../../conductor/node/record.ts'
import { FileDigests } from '../../../conductor/tpm/file-digests.ts'
import { renderGrub, renderGrubStart } from '../../../pxe/grub.ts'
import { sha256 } from './swtpm.ts'

const dir = await mkdtemp(join(tmpdir(), 'rackward-served-'))
afterAll(() => rm(dir, { recursive: true, force: true }))

const boot = {
  http: { address: '10.0.0.1', port: 8080 },
  loaders: dir,
  kernel: join(dir, 'kernel'),
  initrd: join(dir, 'initrd'),
  rescueInitrd: join(dir, 'rescue'),
  kernelArgs: ['console=ttyS0'],
  architecture: 'x86_64',
  ramdisks: {},
  subnets: [{ cidr: '10.0.0.0/24' }],
}
const client: BootClient = {
  mac: '52:54:00:00:00:01',
  nodeUuid: '00000000-0000-4000-8000-000000000001',
  label: 'n1',
  order: { kind: 'nothing' },
  fixedIp: null,
  hostName: null,
  card: null,
}
const parts = {
  config: { boot, agent: { address: '10.0.0.1', port: 6386 } },
  pin: 'ab'.repeat(32),
  tokenKey: Buffer.alloc(32, 1),
  digests: new FileDigests(),
  clientsOf: () => Promise.resolve([client]),
} as unknown as ServedParts
const node = {
  ...newNode({ uuid: client.nodeUuid, driver: 'ipmi' }, 0),
  agent: { sessionHash: 's', generation: 4, tokenMs: 1234, helloAtMs: 0 },
}
const said = { mac: client.mac, ip: '10.0.0.20' }

test('command line and configurations are those of the boot services, for this token alone', async () => {
  for (const name of ['kernel', 'initrd', 'rescue']) await writeFile(join(dir, name), name)
  const served = await servedTo(parts, node)
  const order = { kind: 'ramdisk', generation: 4, rescue: false, token: true } as const
  const args = kernelArgs({ ...client, order }, { ip: said.ip, mintedMs: 1234, own: boot.kernelArgs }, parts)
  expect(served?.args(said)).toEqual(args)
  expect(args.join(' ')).toMatch(/rackward\.token=00000000-0000-4000-8000-000000000001\.4\.1234\./)
  const config = renderGrub(ramdiskOrder(boot, { path: '/ramdisk', rescue: false, args }), 'n1')
  const start = renderGrubStart(scriptUrl(boot, said.mac, { loader: 'grub' }))
  expect(served?.configs({ ...said, waits: [] })).toEqual([sha256(start), sha256(config)])
  expect([served?.kernel, served?.initrd]).toEqual([sha256('kernel'), sha256('initrd')])
  expect([served?.kernelPath, served?.initrdPath]).toEqual(['/ramdisk/kernel', '/ramdisk/initrd'])

  // A card of another node, and an address of another network.
  expect(served?.args({ ...said, mac: '52:54:00:00:00:02' })).toBeUndefined()
  expect(served?.args({ ...said, ip: '192.0.2.1' })).toBeUndefined()
  expect(served?.args({ ...said, ip: 'init=/bin/sh' })).toBeUndefined()
  const next = await servedTo(parts, { ...node, agent: { ...node.agent, tokenMs: 1235 } })
  expect(next?.args(said)).not.toEqual(args)
})

test('a rescue boots its own initramfs; a file that was replaced has its new digest; a missing one proves nothing', async () => {
  const rescue = await servedTo(parts, { ...node, workflow: { ...node.workflow, order: 'rescue' } })
  expect([rescue?.initrd, rescue?.initrdPath]).toEqual([sha256('rescue'), '/ramdisk/rescue'])
  await writeFile(join(dir, 'initrd'), 'another initrd')
  expect((await servedTo(parts, node))?.initrd).toEqual(sha256('another initrd'))
  await rm(join(dir, 'kernel'))
  expect(await servedTo(parts, node)).toBeUndefined()
})
