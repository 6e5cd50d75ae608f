/** What explain names first, for what was seen of each fault: tables of evidence and cause, without a server. */
import { describe, expect, test } from 'vitest'
import type { NodeRecord } from '../../conductor/node/record.ts'
import { FAULTS } from '../../kit/fault.ts'
import { accountOf, AGENT, failed, poll, TO_INITRD, TO_IPXE, TO_KERNEL, type Seen, type Step } from './explain-bench.ts'

const INSPECTED = { inspectionFinishedAtMs: 5 } as const

const FAULTS_SEEN: readonly (readonly [name: string, seen: Seen, first: RegExp])[] = [
  ['wrong MAC enrolled', { strangers: ['02:00:00:00:00:09'] }, /MAC address that belongs to no port/],
  [
    'rogue DHCP server',
    { steps: ['machine', 'offer', ['rival', 'it takes 10.0.0.9 from another DHCP server, 10.0.0.66']] },
    /another DHCP server answers/,
  ],
  ['TFTP blocked on the way here', { steps: ['machine', 'offer', 'dhcp'] }, /TFTP is blocked/],
  [
    'TFTP blocked on the way back',
    { steps: ['offer', 'dhcp', 'tftp-ask', ['tftp-lost', 'ipxe.efi: the client did not answer']] },
    /TFTP is blocked.*answers do not arrive/,
  ],
  ['HTTP blocked', { steps: TO_IPXE }, /HTTP is blocked/],
  [
    'initrd missing',
    { steps: [...TO_KERNEL, ['http-refused', '/ramdisk/initrd: there is no such file']] },
    /the initrd of the ramdisk is missing on the conductor/,
  ],
  [
    'ramdisk larger than memory: the loader finds no room',
    {
      steps: [
        ...TO_KERNEL,
        ['http-ask', '/ramdisk/initrd'],
        ['http-left', '/ramdisk/initrd after 65536 of 60000000 bytes'],
        ['http-left', '/ramdisk/initrd after 65536 of 60000000 bytes'],
      ],
    },
    /does not fit into the memory/,
  ],
  [
    'ramdisk larger than memory: the kernel panics',
    { steps: [...TO_INITRD, ['says-panic', 'Kernel panic - not syncing: System is deadlocked on memory']] },
    /does not fit into the memory/,
  ],
  [
    'ramdisk larger than memory: the inspection knows how much there is',
    { steps: TO_INITRD, node: { properties: { memory_mb: 480 } } },
    /memory of the server is too small/,
  ],
  ['agent port blocked, the agent says so', { steps: [...TO_INITRD, 'agent-unreached'] }, /agent’s port is blocked/],
  ['agent port blocked, a server that was inspected', { steps: TO_INITRD, node: INSPECTED }, /agent’s port is blocked/],
  [
    'clock decades off',
    { steps: [...TO_INITRD, 'hello', ['clock', '36.9 years behind']], agent: 'there' },
    /clock.*36\.9 years behind/,
  ],
  [
    'rogue DHCP server, and the server boots all the same',
    { steps: ['rival', ...TO_INITRD, 'hello'], agent: 'there' },
    /another DHCP server answers.*booted all the same/,
  ],
  [
    'a switch port that forwards late, and the server boots all the same',
    { steps: [['late', 'its firmware did so for 28 s'], ...TO_INITRD, 'hello'], agent: 'there' },
    /did not forward for a while.*booted all the same/,
  ],
  [
    'TFTP blocked, and the firmware goes on to HTTP',
    {
      steps: ['dhcp', 'says-tftp', 'loader', 'ipxe-dhcp', 'script', 'kernel', 'initrd', 'hello'],
      agent: 'there',
    },
    /TFTP is blocked.*booted another way/,
  ],
  [
    'Secure Boot refusal, and the next loader is signed',
    { steps: ['dhcp', 'says-refused', 'loader', 'grub', 'script', 'kernel', 'initrd', 'hello'], agent: 'there' },
    /Secure Boot is on and the firmware refused the loader.*booted with another one/,
  ],
  [
    'boot order disk first',
    { steps: [['override-kept', 'pxe'], ['system', '10.0.0.5'], 'dhcp'] },
    /started its disk.*boot order/,
  ],
  [
    'boot order disk first, and nobody may set it',
    { steps: [['says-disk', 'BdsDxe: starting Boot0002']], node: { interfaces: { management: 'noop' } } },
    /started its disk.*boot order/,
  ],
  [
    'no network ROM',
    { steps: [['says-nothing', 'No bootable option or device was found']] },
    /does not try the network/,
  ],
  ['no network ROM, without a console', {}, /does not try the network/],
  [
    'link down',
    { steps: ['says-network', ['says-no-link', 'PXE-E12: Could not detect network connection.']] },
    /no link/,
  ],
  ['wrong VLAN', { steps: ['says-network', ['says-no-offer', 'PXE-E16: No valid offer received.']] }, /wrong VLAN/],
  ['wrong VLAN, while the firmware still asks', { steps: ['says-network'] }, /wrong VLAN/],
  [
    'duplicate MAC',
    { steps: [...TO_IPXE, ['machine', '11111111-0000'], ['machine', '22222222-0000'], 'dhcp'] },
    /two servers use the same MAC/,
  ],
  [
    'duplicate MAC: the other machine was heard before the boot, and neither is trusted',
    {
      ...failed('node.claimed', 'two machines claimed boot 3 of this node'),
      machinesBefore: ['11111111-0000'],
      steps: [...TO_IPXE, ['machine', '22222222-0000'], 'dhcp', 'hello', 'agent-refused'],
    },
    /two servers use the same MAC/,
  ],
  [
    'duplicate MAC: the agent of one of them falls silent',
    { machinesBefore: ['11111111-0000'], steps: [...TO_INITRD, ['machine', '22222222-0000']], agent: 'silent' },
    /two servers use the same MAC/,
  ],
  [
    'one machine, before the boot and in it: it restarted by itself',
    {
      ...failed('node.claimed', 'two machines claimed boot 3 of this node'),
      machinesBefore: ['22222222-0000'],
      steps: [...TO_IPXE, ['machine', '22222222-0000'], 'dhcp', 'hello', 'agent-refused'],
    },
    /two machines claimed the same boot of the node, or its server restarted/,
  ],
  [
    'Secure Boot refuses iPXE',
    { steps: ['dhcp', ['loader', 'snponly.efi: iPXE'], ['says-refused', 'Access Denied']] },
    /Secure Boot is on and the firmware refused/,
  ],
  ['BMC ignores the boot device', { steps: [['override', 'given pxe, shows none']] }, /BMC ignores the boot device/],
  [
    'BMC ignores the boot device, and its disk runs',
    { steps: [['override', 'given pxe, shows none'], ['system', '10.0.0.5'], 'dhcp'] },
    /BMC ignores the boot device/,
  ],
  [
    'BMC password changed, before the server is switched on',
    {
      node: { provisionState: 'inspecting', lastFault: { code: 'bmc.password', atMs: 1 }, lastError: 'refused' },
      workflow: { pendingEffects: [{ do: 'boot-device', device: 'pxe' }], tries: 2 },
    },
    /refused the user or the password/,
  ],
  [
    'BMC password changed, at rest',
    { node: { provisionState: 'available' }, poll: poll('bmc.password') },
    /refused the user/,
  ],
  ['disk too small', failed('deploy.too-small'), /disk is smaller than the image/],
  ['disk with I/O errors', failed('deploy.write'), /disk could not be written/],
  ['image piece damaged', failed('image.piece'), /piece of the image does not match/],
  [
    'server powers off half-way through its boot',
    { steps: TO_KERNEL, node: { powerState: 'power off' } },
    /switched off, or lost its power, on the way/,
  ],
  [
    'server powers off while its agent works',
    { steps: [...TO_INITRD, 'hello'], agent: 'silent', node: { powerState: 'power off' } },
    /switched off, or lost its power, on the way/,
  ],
]

describe('the first cause that explain names', () => {
  test.each(FAULTS_SEEN)('%s', (_, seen, first) => {
    const { causes } = accountOf(seen)
    expect(causes[0]?.cause).toMatch(first)
    expect(causes[0]?.evidence.join('')).not.toBe('')
    expect(causes[0]?.remedy).not.toBe('')
  })

  test('after the deadline, what was seen of the boot still comes first', () => {
    const node: Partial<NodeRecord> = {
      provisionState: 'inspect failed',
      powerState: 'power off',
      lastFault: { code: 'node.timeout', atMs: 1 },
      lastError: 'the node never called back',
    }
    const { causes } = accountOf({
      node,
      steps: [...TO_KERNEL, ['http-refused', '/ramdisk/initrd: there is no such file']],
    })
    expect(causes[0]?.cause).toMatch(/initrd of the ramdisk is missing/)
    expect(causes.at(-1)?.cause).toBe(FAULTS['node.timeout'].description)
  })

  test('what the boot has passed since says nothing any more', () => {
    const lost: Step = ['tftp-lost', 'ipxe.efi: the client did not answer']
    const refused: Step = ['http-refused', '/ramdisk/initrd: there is no such file']
    expect(accountOf({ steps: ['dhcp', lost, 'loader', 'ipxe-dhcp'] }).causes[0]?.cause).toMatch(/HTTP is blocked/)
    expect(accountOf({ steps: [...TO_KERNEL, refused, 'initrd', 'agent-unreached'] }).causes[0]?.cause).toMatch(
      /port is blocked/,
    )
  })

  test('a stranger of the hour before is named after what was seen of this boot', () => {
    const { causes } = accountOf({
      steps: ['says-network', ['says-no-link', 'PXE-E12']],
      strangersBefore: ['02:00:00:00:00:09'],
    })
    expect([causes[0]?.cause, causes.at(-1)?.cause]).toEqual([
      expect.stringContaining('no link'),
      expect.stringContaining('may ask with a MAC address'),
    ])
  })

  test('an agent that a conductor did not hear since its start was not heard for an age', () => {
    const { causes } = accountOf({ agent: 'unheard', steps: [...TO_INITRD, 'hello'], node: { agent: { ...AGENT } } })
    expect(causes.at(-1)?.evidence[0]).toMatch(/^it was not heard since this conductor started: /)
  })

  test('a server whose agent works has no cause, nor after one poll of its BMC that failed', () => {
    const works = { agent: 'there', steps: [...TO_INITRD, 'hello'] } as const
    expect(accountOf(works).causes).toEqual([])
    expect(accountOf({ ...works, poll: { ...poll('bmc.timeout'), failures: 1 } }).causes).toEqual([])
  })

  test('what a boot went round is told for a while after it, and not of TFTP that was asked and worked', () => {
    const steps = ['dhcp', 'says-tftp', 'loader', 'script', 'kernel', 'initrd', 'hello'] as const
    const node = { provisionState: 'manageable', agent: null } as const
    expect(accountOf({ steps, node }).causes.map(({ cause }) => cause)).toEqual([
      expect.stringMatching(/TFTP is blocked/),
    ])
    expect(accountOf({ steps: ['tftp-ask', ...steps], node }).causes).toEqual([])
    // Of a boot that did not end, nothing says that it went round anything.
    expect(accountOf({ steps: steps.slice(0, -1), node }).causes).toEqual([])
  })

  test('boot rooms that are away come first before the agent called, and last once it did', () => {
    const segments = [{ name: 'rack1', rooms: [{ name: 'r1', isConnected: false, heardAtMs: null }] }]
    const away = expect.stringMatching(/no boot room of the segment rack1 is connected/)
    const causes = (seen: Seen) => accountOf({ ...seen, workflow: { deadlineMs: 900_000 }, segments }).causes
    expect(causes({ steps: [] })[0]?.cause).toEqual(away)
    const silent = causes({ agent: 'silent', steps: [...TO_INITRD, 'hello'] }).map(({ cause }) => cause)
    expect(silent).toEqual([expect.stringMatching(/the agent was lost/), away])
  })

  test('a server that boots well has no cause made up for its clock', () => {
    expect(
      accountOf({ agent: 'silent', steps: [...TO_INITRD, 'hello'], node: { agent: { ...AGENT } } }).causes.map(
        ({ cause }) => cause,
      ),
    ).toEqual(['the agent was lost: power, network, or the machine hangs'])
  })
})
