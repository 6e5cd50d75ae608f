/** `rackward boot snippets`: what a configuration file becomes, and what is refused. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { run } from '../../kit/run.ts'
import { RACKWARD_MAIN } from '../lab/root.ts'

let dir = ''
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-snippets-'))
  await writeFile(join(dir, 'snponly.efi'), '')
  await writeFile(
    join(dir, 'c.yaml'),
    `data: ${dir}
images: { store: ${dir} }
api: { listen: [], auth: { strategy: noauth } }
boot:
  interfaces: []
  http: { address: 10.0.0.1, port: 8088 }
  tftp: 10.0.0.2
  kernel: /k
  initrd: /i
  loaders: ${dir}
  subnets: [{ cidr: 10.0.0.0/24, serverIp: 10.0.0.2, mode: listen }]
`,
  )
})
afterAll(() => rm(dir, { recursive: true }))

const snippets = (...args: string[]) =>
  run([process.execPath, RACKWARD_MAIN, 'boot', 'snippets', ...args], { timeoutMs: 60_000 })

test('names the addresses of the configuration and the loaders that are there', async () => {
  const { code, stdout } = await snippets('--for', 'dnsmasq', '--config', join(dir, 'c.yaml'))
  expect([code, stdout.split('\n').filter((line) => line.startsWith('dhcp-boot'))]).toEqual([
    0,
    [
      'dhcp-boot=tag:rackward-7,tag:!rackward-ipxe,snponly.efi,,10.0.0.2',
      'dhcp-boot=tag:rackward-9,tag:!rackward-ipxe,snponly.efi,,10.0.0.2',
      'dhcp-boot=tag:rackward-16,tag:!rackward-ipxe,http://10.0.0.1:8088/loader/snponly.efi,,10.0.0.2',
      'dhcp-boot=tag:rackward-ipxe,http://10.0.0.1:8088/boot/${netX/mac:hexhyp}/script.ipxe,,10.0.0.2',
    ],
  ])
})

test('a server that nobody has heard of is refused with those that there are', async () => {
  const { code, stderr } = await snippets('--for', 'bind', '--config', join(dir, 'c.yaml'))
  expect([code === 0, stderr]).toEqual([false, expect.stringContaining('kea, isc, dnsmasq, windows')])
})
