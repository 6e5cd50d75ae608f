/** GRUB configurations: what stands in them, that GRUB's own parser takes them, and that nothing in them is
 *  expanded. */
import { expect, test } from 'vitest'
import { runOk } from '../../kit/run.ts'
import { GRUB_EXIT, renderGrub, renderGrubStart } from '../../pxe/grub.ts'
import { renderScript, type BootOrder } from '../../pxe/script.ts'

const KERNEL = {
  kind: 'kernel',
  what: 'the deploy ramdisk',
  kernelUrl: 'http://10.0.0.1:8080/ramdisk/kernel',
  initrdUrl: 'http://10.0.0.1:8080/ramdisk/initrd',
  args: ['console=ttyS0', 'rackward.token=a.b', 'a&b;c'],
} as const
const CONFIG = 'http://10.0.0.1:8080/boot/x/grub.cfg'

test('kernel and ramdisk come over HTTP, each argument as one word that GRUB leaves alone', () => {
  expect(renderGrub(KERNEL, 'node "$(x)\n1').split('\n')).toEqual([
    'echo "Rackward: nodex1 boots the deploy ramdisk"',
    "if linux (http,10.0.0.1:8080)/ramdisk/kernel 'console=ttyS0' 'rackward.token=a.b' 'a&b;c'; then",
    '  if initrd (http,10.0.0.1:8080)/ramdisk/initrd; then boot; fi',
    'fi',
    '',
  ])
  for (const bad of ['a b', '${net_default_mac}', 'x\ny', "'", '"'])
    expect(() => renderGrub({ ...KERNEL, args: [bad] }, 'n')).toThrow('GRUB would not pass on')
  expect(() => renderGrub({ ...KERNEL, kernelUrl: 'http://10.0.0.1/$x' }, 'n')).toThrow('GRUB would change')
})

test('a node with nothing to boot from the network is sent on to its disk', () => {
  for (const kind of ['local', 'nothing'] as const)
    expect(renderGrub({ kind }, 'n')).toMatch(/--set=root \$loader; then\n {4}if chainloader \$loader; then boot; fi/)
})

test('what GRUB fetches by itself leads to the configuration of the node, again until that boots', () => {
  expect(renderGrubStart(CONFIG)).toContain('  source (http,10.0.0.1:8080)/boot/x/grub.cfg\n')
})

test('GRUB keeps the address of the card that the firmware booted from: no other card is asked', () => {
  const orders: BootOrder[] = [KERNEL, { kind: 'iso', url: CONFIG }, { kind: 'local' }, { kind: 'nothing' }]
  for (const text of [renderGrubStart(CONFIG), GRUB_EXIT, ...orders.map((order) => renderGrub(order, 'n'))])
    expect(text).not.toMatch(/net_bootp|net_dhcp|net_add_addr/)
})

const WAIT = { kind: 'wait', turn: '412 of 900, about 40 s', againSeconds: 15 } as const

test('a server that waits for its turn shows its place, and asks again when it was told to', () => {
  expect(renderGrub(WAIT, 'node-1').split('\n')).toEqual([
    'echo "Rackward: node-1 waits for a place: 412 of 900, about 40 s"',
    'sleep 15',
    'set rackward_waits=yes',
    '',
  ])
  expect(renderGrubStart(CONFIG)).toContain('if [ "$rackward_waits" = "yes" ]; then true; else')
  const script = renderScript(WAIT, 'node-1').split('\n')
  expect(script.slice(0, 4)).toEqual([
    '#!ipxe',
    'echo Rackward: node-1 waits for a place: 412 of 900, about 40 s',
    'sleep 15',
    'chain --replace --autofree ${cwduri}script.ipxe || goto again',
  ])
})

test('GRUB’s parser takes all of them', async () => {
  const orders: BootOrder[] = [KERNEL, { kind: 'iso', url: CONFIG }, { kind: 'local' }, { kind: 'nothing' }, WAIT]
  for (const text of [renderGrubStart(CONFIG), GRUB_EXIT, ...orders.map((order) => renderGrub(order, 'node-1'))])
    expect(await runOk(['grub-script-check'], { timeoutMs: 10_000, input: text })).toBe('')
  await expect(runOk(['grub-script-check'], { timeoutMs: 10_000, input: 'if true; then' })).rejects.toThrow()
})
