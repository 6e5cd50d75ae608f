/** What explain names first for faults that say little or nothing: the slow ones, the silent ones, and those that look
 *  like another fault. Tables of evidence and cause, without a server; and what must not be named. */
import { expect, test } from 'vitest'
import { consoleSign } from '../../conductor/node/policy/console-words.ts'
import { Sightings } from '../../conductor/node/query/sightings.ts'
import type { Past } from '../../conductor/node/policy/usual-time.ts'
import { accountOf, failed, poll, TO_INITRD, TO_IPXE, TO_KERNEL, type Seen } from './explain-bench.ts'

const USUAL: Past = { of: 'model', tookMs: [50_000, 51_000, 52_000, 53_000, 54_000] }
const KEPT = ['override-kept', 'pxe'] as const
const INITRD_ASKED = [...TO_KERNEL, ['http-ask', '/ramdisk/initrd']] as const
const bytes = (phase: string) => ({ phase, doneBytes: 120_000_000, totalBytes: 1_000_000_000 })
const JUMPED: Seen = {
  node: { provisionState: 'deploying' },
  workflow: { phase: 'jump', reboot: { how: 'kexec', because: 'it was asked for', jumpedAtMs: 100_000 } },
}

const FURTHER: readonly (readonly [name: string, seen: Seen, first: RegExp])[] = [
  ['wrong VLAN, without a word on the console', { steps: [KEPT], othersHeard: 3 }, /wrong VLAN/],
  [
    'wrong VLAN: another relay passes its requests on',
    { steps: ['machine', ['no-address', 'no subnet is configured for the relay 10.9.0.1']] },
    /wrong VLAN.*relay 10\.9\.0\.1/,
  ],
  ['the link runs at 10 kB/s: the ramdisk', { steps: INITRD_ASKED }, /transfer of the initrd is slow/],
  [
    'the link runs at 10 kB/s: the image',
    { agent: 'there', steps: [...TO_INITRD, 'hello'], past: USUAL, progress: bytes('write') },
    /agent works, and needs longer than usual: it is at "write", 12 %/,
  ],
  [
    'the disk reads slowly',
    { agent: 'there', steps: [...TO_INITRD, 'hello'], past: USUAL, progress: bytes('verify') },
    /agent works, and needs longer than usual: it is at "verify", 12 %/,
  ],
  [
    'the power of the whole server goes in the middle of its boot',
    { steps: TO_KERNEL, poll: poll('bmc.unreachable') },
    /server and its BMC are both silent/,
  ],
  [
    'the initrd is of another kernel',
    {
      steps: [...TO_INITRD, ['says-panic', 'Kernel panic - not syncing: VFS: Unable to mount root fs']],
      node: { properties: { memory_mb: 65_536 } },
    },
    /initrd is damaged, or not the one of this kernel/,
  ],
  [
    'a fan failed, and the firmware waits for F1',
    { steps: [KEPT, ['says-key', 'Press F1 to continue']] },
    /firmware waits for a key/,
  ],
  [
    'a loader was removed from the conductor',
    { steps: ['dhcp', 'tftp-ask', ['tftp-refused', 'snponly.efi: there is no such file']] },
    /loader snponly\.efi is missing on the conductor/,
  ],
  [
    'a loader was removed from the conductor, for firmware that boots by HTTP',
    { steps: ['dhcp', ['http-refused', '/loader/snponly.efi: there is no such file']] },
    /loader snponly\.efi is missing on the conductor/,
  ],
  [
    'the cable is pulled while the agent writes',
    { agent: 'silent', steps: [...TO_INITRD, 'hello'], poll: { okAtMs: 190_000, failures: 0, fault: null } },
    /agent was lost while its server is on: its network is cut, or the machine hangs/,
  ],
  [
    'the cable is pulled, and the BMC has not answered since',
    { agent: 'silent', steps: [...TO_INITRD, 'hello'], poll: { okAtMs: 80_000, failures: 0, fault: null } },
    /agent was lost: power, network, or the machine hangs/,
  ],
  ['the jump into the image hangs', JUMPED, /system that the agent jumped into .* was not heard in time/],
  [
    'the certificate of the BMC has expired',
    { poll: poll('bmc.identity'), node: { provisionState: 'available' } },
    /BMC/,
  ],
  ['the disk of the conductor is full', failed('image.space'), /space|room/],
  ['another image than its index', failed('image.damaged'), /image/],
  ['the TPM was replaced', failed('tpm.replaced'), /another TPM/],
  ['the firmware takes no boot entry', failed('deploy.firmware'), /boot entry could not be set/],
]

test.each(FURTHER)('%s', (_, seen, first) => {
  const { causes } = accountOf(seen)
  expect(causes[0]?.cause).toMatch(first)
  expect(causes[0]?.evidence.join('')).not.toBe('')
  expect(causes[0]?.remedy).not.toBe('')
})

const firstOf = (seen: Seen): string => accountOf(seen).causes[0]?.cause ?? ''

test('a silent port is named only where nothing else speaks', () => {
  const vlan = /nothing of the server arrives here/
  expect(accountOf({ steps: [KEPT], othersHeard: 1 }).causes[0]?.evidence).toContain(
    'requests of 1 other server arrived meanwhile',
  )
  for (const other of [
    { steps: [KEPT], strangers: ['02:00:00:00:00:09'] },
    { steps: [KEPT, ['says-nothing', 'No bootable device']] },
    { steps: [KEPT], node: { powerState: 'power off' } },
    { steps: [['override', 'given pxe, shows none']] },
    { steps: [KEPT, 'dhcp'] },
    {},
  ] satisfies Seen[])
    expect(firstOf(other)).not.toMatch(vlan)
})

test('a transfer that ended, in whatever way, is not called slow', () => {
  for (const end of ['initrd', 'http-left', 'http-stalled', 'http-refused'] as const)
    expect(firstOf({ steps: [...INITRD_ASKED, [end, '/ramdisk/initrd']] })).not.toMatch(/is slow: it goes on/)
})

test('an agent within its usual time, and a jump within its own, have no cause', () => {
  const past: Past = { of: 'model', tookMs: USUAL.tookMs.map((ms) => ms * 10) }
  expect(accountOf({ agent: 'there', steps: [...TO_INITRD, 'hello'], past, progress: bytes('write') }).causes).toEqual(
    [],
  )
  expect(accountOf({ ...JUMPED, past }).causes).toEqual([])
})

test('times of all that is done in a state do not hide a jump that hangs', () => {
  const past: Past = { of: 'state', tookMs: Array.from({ length: 9 }, () => 3_600_000) }
  const { causes } = accountOf({ ...JUMPED, past })
  expect(causes).toEqual(accountOf(JUMPED).causes)
  expect(causes).toHaveLength(1)
})

test('a BMC that is silent while its server boots on is not called dead', () => {
  const { causes } = accountOf({
    steps: [...TO_IPXE, ...Array.from({ length: 190 }, () => ['machine', 'm'] as const)],
    poll: poll('bmc.unreachable'),
  })
  expect(causes.map(({ cause }) => cause)).not.toContainEqual(expect.stringMatching(/both silent/))
})

test('a panic for want of a root is the memory where that is small or unknown', () => {
  const steps = [...TO_INITRD, ['says-panic', 'Kernel panic - not syncing: VFS: Unable to mount root fs']] as const
  expect(firstOf({ steps })).toMatch(/does not fit into the memory/)
  expect(firstOf({ steps, node: { properties: { memory_mb: 500 } } })).toMatch(/does not fit into the memory/)
})

test('other servers that ask for an address are counted since a moment', () => {
  const sightings = new Sightings()
  for (const [uuid, atMs] of [
    ['a', 10],
    ['b', 20],
    ['c', 30],
  ] as const)
    sightings.note(uuid, 'dhcp', { atMs, detail: '' })
  expect([sightings.othersSince('c', 15), sightings.othersSince('x', 15), sightings.othersSince('a', 31)]).toEqual([
    1, 2, 0,
  ])
})

test.each([
  'Press F1 to continue, F2 to run Setup',
  'Strike the F1 key to continue, F2 to run the setup utility',
  'Press <F1> to resume',
])('firmware that waits for a key says so: %s', (line) => expect(consoleSign(line)?.sign).toBe('says-key'))

test.each([
  'Press F2 to enter setup',
  'Press ESC for boot menu',
  'Press Ctrl-B for the iPXE command line...',
  'Press F12 for network boot',
])('firmware that only offers a key: %s', (line) => expect(consoleSign(line)).toBeUndefined())
