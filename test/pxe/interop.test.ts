/** Independent peers: the npm packages dhcp and tftp2 read what we send, as far as they can serve (docs/decisions.md
 *  says how far that is). */
import { randomBytes } from 'node:crypto'
import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { LeaseBook } from '../../pxe/dhcp/leases.ts'
import { DhcpServer } from '../../pxe/dhcp/server.ts'
import { LOADERS } from '../../pxe/firmware.ts'
import { renderAutoexec, renderScript } from '../../pxe/script.ts'
import { TftpServer } from '../../pxe/tftp/server.ts'
import { systemClock } from '../../kit/clock.ts'
import { ROOT } from '../lab/root.ts'

const require = createRequire(import.meta.url)
const dhcp = require('dhcp/lib/protocol.js') as {
  parse(bytes: Buffer): Record<string, unknown> & { options: Record<number, unknown> }
}
const tftp2 = require('tftp2') as (
  host: string,
  port: number,
) => { read(name: string, push: (part: Buffer) => void, done: () => void): Promise<void>; close(): void }

const golden = (name: string) =>
  Buffer.from(readFileSync(join(ROOT, `test/golden/dhcp/${name}.hex`), 'utf8').replace(/\s/g, ''), 'hex')

test.each(['edk2-discover', 'ipxe-bios-discover', 'linux-discover'])(
  'the npm package dhcp reads our answer to %s as we meant it',
  (name) => {
    const server = new DhcpServer({
      subnets: [
        {
          cidr: '10.0.0.0/24',
          serverIp: '10.0.0.1',
          first: '10.0.0.10',
          last: '10.0.0.20',
          dns: ['10.0.0.2'],
          router: '10.0.0.3',
          leaseSeconds: 600,
        },
      ],
      owner: {
        client: () => ({ scriptUrl: 'http://10.0.0.1/script', loaderUrl: 'http://10.0.0.1/loader/' }),
        isFixed: () => false,
        pickLoader: (_, { files }) => files[0],
        event: () => undefined,
      },
      ownIps: [],
      loaders: new Set(LOADERS),
      leases: new LeaseBook(
        { load: () => [], save: () => undefined, remove: () => undefined, commit: () => undefined, waits: () => false },
        { declinesPerMac: 3 },
      ),
      clock: systemClock,
    })
    const offer = server.handle(golden(name), '10.0.0.1')
    const read = dhcp.parse(offer?.bytes as Buffer)
    expect(read).toMatchObject({
      op: 2,
      yiaddr: '10.0.0.10',
      giaddr: '0.0.0.0',
      options: { 53: 2, 54: '10.0.0.1', 51: 600, 1: '255.255.255.0', 3: ['10.0.0.3'], 6: ['10.0.0.2'] },
    })
  },
)

let server: TftpServer
let port = 0
const file = randomBytes(100_000)
beforeAll(async () => {
  server = new TftpServer({
    owner: { file: (name) => (name === 'f' ? file : undefined), event: () => undefined },
    clock: systemClock,
    limits: { transfers: 10, transfersPerAddress: 8, maxTimeoutMs: 5000 },
  })
  port = await server.listen({ ip: '127.0.0.1', port: 0 })
})
afterAll(() => server.stop())

test('the npm package tftp2 reads a file from our server', async () => {
  const client = tftp2('127.0.0.1', port)
  const parts: Buffer[] = []
  await client.read(
    'f',
    (part) => void parts.push(Buffer.from(part)),
    () => undefined,
  )
  expect(Buffer.concat(parts).equals(file)).toBe(true)
  client.close()
})

test('every loader that an offer can name is a file of the loaders’ directory', () => {
  for (const name of LOADERS) expect(readFileSync(join('/usr/lib/ipxe', name)).length).toBeGreaterThan(10_000)
})

test('scripts: exact text for each order; a word that iPXE would change is refused', () => {
  const order = {
    kind: 'kernel',
    what: 'the deploy ramdisk',
    kernelUrl: 'http://10.0.0.1/k',
    initrdUrl: 'http://10.0.0.1/i',
    args: ['console=ttyS0', 'rackward.token=a.b'],
  } as const
  const text = renderScript(order, 'node ${1}')
  expect(text.split('\n').slice(0, 4)).toEqual([
    '#!ipxe',
    'echo Rackward: node1 boots the deploy ramdisk',
    'kernel http://10.0.0.1/k initrd=initrd console=ttyS0 rackward.token=a.b || goto again',
    'initrd --name initrd http://10.0.0.1/i || goto again',
  ])
  expect(renderScript({ kind: 'local' }, 'n')).toContain('sanboot --no-describe --drive 0x80')
  expect(renderScript({ kind: 'nothing' }, 'n')).toContain('exit 1')
  for (const bad of ['a b', '${net0/mac}', 'x\ny', "'"])
    expect(() => renderScript({ ...order, args: [bad] }, 'n')).toThrow()
})

test('autoexec.ipxe: an address by DHCP alone, then the script of the node, again until both are there', () => {
  expect(renderAutoexec('http://10.0.0.1/boot/x/script.ipxe').split('\n')).toEqual([
    '#!ipxe',
    ':again',
    'ifconf -c dhcp || goto failed',
    'chain --replace --autofree http://10.0.0.1/boot/x/script.ipxe || goto failed',
    ':failed',
    'echo Rackward: no boot script yet, trying again in 5 seconds',
    'sleep 5',
    'goto again',
    '',
  ])
})
