/** What explain names first for faults beyond the list of the bench: tables of evidence and cause, without a server. */
import { expect, test } from 'vitest'
import { otherBootServer } from '../../conductor/node/query/dhcp-rules.ts'
import { Sightings } from '../../conductor/node/query/sightings.ts'
import { newNode } from '../../conductor/node/record.ts'
import { accountOf, failed, poll, TO_INITRD, TO_IPXE, TO_KERNEL, type Seen } from './explain-bench.ts'

const MORE: readonly (readonly [name: string, seen: Seen, first: RegExp])[] = [
  [
    'a relay forgets option 82, or sends answers elsewhere',
    { steps: ['machine', 'offer', 'offer', ['says-no-offer', 'PXE-E16']] },
    /answers of DHCP do not reach the server/,
  ],
  [
    'answers of DHCP are lost, without a console',
    { steps: ['machine', 'offer', 'offer'] },
    /answers of DHCP do not reach/,
  ],
  [
    'a switch port that blocks while the firmware tries (spanning tree, LACP)',
    { steps: ['says-network', ['says-no-offer', 'PXE-E51: No DHCP offers were received.']] },
    /blocks for longer than the firmware tries/,
  ],
  [
    'a switch port that blocked at first, until the firmware gave up',
    { steps: [['late', 'its firmware did so for 28 s'], 'machine', 'offer'] },
    /did not forward for a while after the link came up.*firmware may have given up/,
  ],
  [
    'MTU black hole, by TFTP',
    { steps: ['dhcp', 'tftp-ask', ['tftp-lost', 'ipxe.efi: the client stopped answering after block 0 of 700']] },
    /large packets are lost.*MTU/,
  ],
  [
    'MTU black hole, by HTTP',
    { steps: [...TO_IPXE, 'script', ['http-stalled', '/ramdisk/kernel after 9000 of 12000000 bytes']] },
    /large packets are lost.*MTU/,
  ],
  [
    'duplicate IP address',
    { steps: ['offer', 'dhcp', ['decline', 'found 10.0.0.5 in use']] },
    /in use by another host/,
  ],
  ['no address left in the pool', { steps: [['no-address', 'no free address']] }, /no address for it: no free address/],
  [
    'wrong architecture of the loader',
    { steps: ['dhcp', 'tftp-ask', ['tftp-refused', 'bootaa64.efi: there is no such file']] },
    /file that is not here: bootaa64\.efi/,
  ],
  [
    'a loader asks HTTP for what is not here',
    { steps: [...TO_IPXE, ['http-refused', '/loader/other.efi: it is not served']] },
    /asks HTTP for a file that is not here: \/loader\/other\.efi/,
  ],
  [
    'a ramdisk that is missing, whatever else is asked for',
    {
      steps: [
        ...TO_KERNEL,
        ['http-refused', '/ramdisk/aarch64/initrd: there is no such file'],
        ['http-refused', '/other: it is not served'],
      ],
    },
    /the initrd of the ramdisk is missing/,
  ],
  [
    'DHCP answered by two conductors',
    { steps: ['offer', ['rival', 'it takes 10.0.0.9 from another DHCP server, 10.0.0.2']] },
    /another DHCP server answers/,
  ],
  [
    'session table of the BMC full',
    {
      node: { provisionState: 'inspecting', lastFault: { code: 'bmc.sessions', atMs: 1 }, lastError: 'full' },
      workflow: { pendingEffects: [{ do: 'power', to: 'power on' }], tries: 1 },
    },
    /session table of the BMC is full/,
  ],
  [
    'the certificate of the agent port was replaced',
    { steps: [...TO_INITRD, 'agent-call', 'agent-distrusts'] },
    /does not accept the certificate/,
  ],
  [
    'the agent port is not blocked, and its connections break off',
    { steps: [...TO_INITRD, 'agent-call', 'agent-unreached', 'agent-call'] },
    /opens connections to its port, and they break off/,
  ],
  [
    'the agent port is blocked while the agent works',
    {
      steps: [...TO_INITRD, 'hello', ...Array.from({ length: 80 }, () => 'agent-unreached' as const)],
      agent: 'silent',
    },
    /does not reach the agent port any more/,
  ],
  [
    'the boot token was used by another machine',
    { steps: [...TO_INITRD, 'agent-call', ['agent-refused', 'the boot token was used already']] },
    /was refused: the boot token was used already/,
  ],
  [
    'panic of the ramdisk',
    { steps: [...TO_INITRD, ['says-panic', 'Kernel panic - not syncing: Fatal exception']] },
    /kernel of the ramdisk panics/,
  ],
  [
    'panic of the ramdisk, without a console: it comes again and again',
    { steps: [...TO_INITRD, ...TO_INITRD, ...TO_INITRD], node: { inspectionFinishedAtMs: 5 } },
    /starts again and again after it loaded the ramdisk/,
  ],
  [
    'a card without a driver',
    { steps: [...TO_INITRD, ['says-agent', 'no network card has the address 52:54:00:00:00:01']] },
    /agent cannot go on: no network card/,
  ],
  [
    'switched off by somebody else',
    { steps: ['dhcp'], node: { powerState: 'power off' } },
    /switched off.*not by this conductor/,
  ],
  [
    'the firmware is of another architecture than the record, or than every ramdisk',
    { steps: [...TO_IPXE, 'script', ['no-ramdisk', 'the firmware says aarch64 and properties/cpu_arch x86_64']] },
    /given no ramdisk: the firmware says aarch64/,
  ],
  [
    'the agent crashed, and was started again',
    { agent: 'there', steps: [...TO_INITRD, 'hello', 'agent-again'] },
    /agent ended and was started again in the same boot: its order begins anew$/,
  ],
  [
    'the certificate of the agent port was replaced while the agent works',
    {
      agent: 'silent',
      steps: [...TO_INITRD, 'hello', ...Array.from({ length: 80 }, () => 'agent-distrusts' as const)],
    },
    /does not accept the certificate of the conductor any more/,
  ],
  ['the BMC hangs while the agent works', { agent: 'there', poll: poll('bmc.timeout') }, /BMC did not finish in time/],
  [
    'the BMC takes the command, and the server stays off',
    {
      node: { provisionState: 'inspecting', lastFault: { code: 'bmc.unproven', atMs: 1 }, lastError: 'still off' },
      workflow: { pendingEffects: [{ do: 'power', to: 'power on' }], tries: 3 },
    },
    /accepted the command, but the power state did not change/,
  ],
  [
    'half of the BMC works: it is asked again and again',
    {
      node: { provisionState: 'inspecting', lastFault: { code: 'bmc.timeout', atMs: 1 }, lastError: 'no answer' },
      workflow: { pendingEffects: [{ do: 'power', to: 'power on' }], tries: 3 },
    },
    /BMC did not finish in time/,
  ],
  ['two nodes have one BMC', { sharers: ['other'], steps: ['says-network'] }, /another node has the same BMC/],
  ['the image has another checksum', failed('image.checksum'), /image does not match its checksum/],
  ['the source of the image answers 404', failed('image.source', '404 Not Found'), /image could not be read/],
  ['there is no disk', failed('deploy.no-disk'), /no disk is suitable/],
  ['the root device hint fits no disk', failed('deploy.hints'), /no disk matches the root device hints/],
  ['a clean step fails', failed('clean.failed'), /disk could not be cleaned/],
  ['no power for the whole rack unit', { poll: poll('bmc.unreachable') }, /server and its BMC are both silent/],
  [
    'restarted half-way by its watchdog',
    {
      agent: 'silent',
      steps: [...TO_INITRD, 'hello', ...Array.from({ length: 80 }, () => ['machine', 'm'] as const), 'dhcp'],
    },
    /server restarted by itself/,
  ],
]

test.each(MORE)('%s', (_, seen, first) => {
  const { causes } = accountOf(seen)
  expect(causes[0]?.cause).toMatch(first)
  expect(causes[0]?.evidence.join('')).not.toBe('')
  expect(causes[0]?.remedy).not.toBe('')
})

test('with the address of another server, another boot server is one of the causes, until a file is asked for here', () => {
  const causesAfter = (...steps: Seen['steps'] & {}) => accountOf({ steps }).causes.map(({ cause }) => cause)
  const other = expect.stringMatching(/may follow another boot server/)
  const took = ['dhcp', 'took 10.0.0.9 from 10.0.0.2'] as const
  expect(causesAfter(took)).toContainEqual(other)
  expect(causesAfter('dhcp')).not.toContainEqual(other)
  expect(causesAfter(took, 'tftp-ask')).not.toContainEqual(other)
})

test('a server that has just taken its address of another server is not said to follow another boot server', () => {
  const sightings = new Sightings()
  sightings.booting('u', 1)
  sightings.note('u', 'dhcp', { atMs: 1_000, detail: 'took 10.0.0.9 from 10.0.0.2' })
  const node = newNode({ uuid: 'u', driver: 'ipmi', provisionState: 'inspect wait', provisionUpdatedAtMs: 0 }, 0)
  const causesAt = (nowMs: number) =>
    otherBootServer({ node, live: sightings.of('u'), path: ['dhcp'], nowMs, strangers: [], strangersBefore: [] })
  expect(causesAt(15_000)).toEqual([])
  expect(causesAt(21_000)[0]?.evidence).toContain('it asked for no file here in 20 s')
})
