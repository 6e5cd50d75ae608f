/** What consoles say of a boot, as firmware, iPXE, the kernel and the agent print it. */
import { expect, test } from 'vitest'
import { consoleSign, ConsoleLines } from '../../conductor/node/policy/console-words.ts'

test.each([
  ['  PXE-E12: Could not detect network connection.', 'says-no-link'],
  ['PXE-E61: Media test failure, check cable', 'says-no-link'],
  ['net0: 52:54:00:77:00:01 using virtio-net [Link:down, TX:0 TXE:0 RX:0 RXE:0]', 'says-no-link'],
  ['  PXE-E16: No valid offer received.', 'says-no-offer'],
  ['PXE-E51: No DHCP or proxyDHCP offers were received.', 'says-no-offer'],
  ['No configuration methods succeeded (https://ipxe.org/040ee119)', 'says-no-offer'],
  ['PXE-E32: TFTP open timeout', 'says-tftp'],
  ['  PXE-E18: Server response timeout.', 'says-tftp'],
  ['BdsDxe: failed to load Boot0001 "UEFI PXEv4" from PciRoot(0x0)/MAC(5254,0x1): Access Denied', 'says-refused'],
  ['Verification failed: (0x1A) Security Violation', 'says-refused'],
  ['http://10.77.0.1:8080/boot/x/script.ipxe... Connection timed out (https://ipxe.org/4c0a6092)', 'says-http'],
  ['[    1.2] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)', 'says-panic'],
  ['[    0.9] Initramfs unpacking failed: write error', 'says-memory'],
  ['rackward-agent: cannot go on: no network card has the address 52:54:00:00:00:01', 'says-agent'],
  ['BdsDxe: starting Boot0002 "UEFI Misc Device" from PciRoot(0x0)/Pci(0x3,0x0)', 'says-disk'],
  [
    'BdsDxe: starting Boot0001 "UEFI PXEv4 (MAC:525400770001)" from PciRoot(0x0)/MAC(525400770001,0x1)/IPv4()',
    'says-network',
  ],
  ['BdsDxe: starting Boot0000 "UiApp" from Fv(7CB8BDC9)/FvFile(462CAA21)', undefined],
  ['>>Start PXE over IPv4.', 'says-network'],
  ['BdsDxe: No bootable option or device was found.', 'says-nothing'],
  ['BdsDxe: failed to load Boot0001 "UEFI Misc Device" from PciRoot(0x0)/Pci(0x4,0x0): Not Found', 'says-nothing'],
  ['UEFI Interactive Shell v2.2', 'says-nothing'],
  ['rackward-agent: order inspect', undefined],
])('%s', (line, sign) => {
  expect(consoleSign(line)?.sign).toBe(sign)
})

test('lines are cut where they end and where the cursor moves; what never ends is bounded', () => {
  const lines = new ConsoleLines()
  expect(lines.take('\u001b[2J\u001b[01;01H>>Start PXE ')).toEqual([])
  expect(lines.take('over IPv4.\r\n\u001b[0mPXE-E16: No\u001b[5;7Hvalid\r\n')).toEqual([
    '>>Start PXE over IPv4.',
    'PXE-E16: No',
    'valid',
  ])
  lines.take('>>Start PXE over IPv4.')
  expect([lines.pending(), lines.pending()]).toEqual([['>>Start PXE over IPv4.'], []])
  for (let i = 0; i < 100; i += 1) lines.take('x'.repeat(1_000_000))
  expect(lines.take('y\n').join('').length).toBeLessThan(2_000)
})

test('no line takes long to read, whatever a machine prints', () => {
  const hostile = [
    'http://'.repeat(70) + '.'.repeat(500),
    'failed to load Boot0 '.repeat(50),
    'starting Boot0 "x" from '.repeat(40),
    '\u001b['.repeat(400),
  ]
  const lines = new ConsoleLines()
  const beganMs = performance.now()
  for (const line of hostile) for (let i = 0; i < 500; i += 1) lines.take(`${line}\r\n`).forEach(consoleSign)
  expect(performance.now() - beganMs).toBeLessThan(5_000)
})
