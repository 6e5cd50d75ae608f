/** What a node waits for, in words: since when, whether that is usual, what was seen last, and the likely causes. */
import { describe, expect, test } from 'vitest'
import { Accounts } from '../../conductor/api/rackward-schemas.ts'
import { explain, type Facts } from '../../conductor/node/query/explain.ts'
import { newNode } from '../../conductor/node/record.ts'
import { Sightings } from '../../conductor/node/query/sightings.ts'
import { call, create, drive } from './api-bench.ts'
import { NO_PAST } from '../../conductor/node/policy/usual-time.ts'

describe('explain', () => {
  test('a live node says what it waits for and how long that took before', async () => {
    for (let i = 0; i < 3; i += 1) await drive(String((await create()).uuid), 'manage', 'inspect')
    const { uuid } = await create()
    await drive(uuid, 'manage')
    await call('PUT', `/v1/nodes/${uuid}/states/provision`, {
      target: 'clean',
      clean_steps: [{ interface: 'deploy', step: 'wait', args: { seconds: 30 } }],
    })
    const account = Accounts.parse((await call('GET', `/rackward/v1/nodes/${uuid}/explain`)).body)
    expect(account).toMatchObject({
      provision_state: 'cleaning',
      waits_for: 'this conductor to carry out wait',
      lock: { pending_effects: ['wait'] },
      causes: [],
    })
    await call('DELETE', `/rackward/v1/nodes/${uuid}/lock?reason=enough`)
    const failed = Accounts.parse((await call('GET', `/rackward/v1/nodes/${uuid}/explain`)).body)
    expect(failed.causes[0]).toMatchObject({ cause: 'an operator broke the lock of the node' })
  })

  const facts = (more: Partial<Facts> = {}, seen: readonly string[] = []): Facts => {
    const node = newNode(
      { uuid: 'u', driver: 'ipmi', provisionState: 'inspect wait', provisionUpdatedAtMs: 0, powerState: 'power on' },
      0,
    )
    const live = new Sightings().of('u')
    for (const [i, step] of seen.entries()) live.seen.set(step as never, { atMs: i * 1000, detail: '' })
    return {
      node: { ...node, workflow: { ...node.workflow, phase: 'agent', deadlineMs: 1_800_000 } },
      nowMs: 120_000,
      conductor: 'c',
      live,
      poll: undefined,
      past: NO_PAST,
      strangers: [],
      sharers: [],
      ports: [],
      ...more,
    }
  }
  test('a boot by virtual media waits for the BMC to ask for the boot ISO, and shows how much was fetched', () => {
    const byMedia = (seen: readonly string[], effects: readonly { do: 'media-asked' }[] = []) => {
      const { node, ...more } = facts({}, seen)
      for (const sighting of more.live.seen.values()) Object.assign(sighting, { detail: '12 MB in 30 requests' })
      const workflow = { ...node.workflow, pendingEffects: effects }
      return explain({ ...more, node: { ...node, workflow, interfaces: { boot: 'redfish-virtual-media' } } })
    }
    expect(byMedia([], [{ do: 'media-asked' }]).waits_for).toBe(
      'the BMC to fetch the boot ISO; nothing was asked for yet',
    )
    const unseen = byMedia([]).causes[0]
    expect(unseen?.cause).toBe('the BMC does not reach the conductor, or does not take its URL')
    expect(unseen?.evidence).toContain('the BMC never asked for the boot ISO')
    const reading = byMedia(['media'])
    expect(reading.waits_for).toContain('the BMC has fetched 12 MB in 30 requests')
    expect(reading.causes[0]?.cause).toContain('the kernel does not start on this machine')
  })

  test('a server that waits for others to load the ramdisk says its place, and no cause is made up for it', () => {
    const { live, ...more } = facts({}, ['dhcp', 'loader', 'ipxe-dhcp', 'script'])
    live.waiting = { atMs: 110_000, detail: '412 of 900, about 40 s' }
    const account = explain({ ...more, live })
    expect(account.waits_for).toMatch(/^a place to load the ramdisk \(412 of 900, about 40 s\)/)
    expect(account.causes).toEqual([])
    // It asked no more, or it loads.
    expect(explain({ ...more, live, nowMs: 200_000 }).causes).not.toEqual([])
    live.seen.set('kernel', { atMs: 115_000, detail: '' })
    expect(explain({ ...more, live }).waits_for).not.toMatch(/place/)
  })

  test.each([
    [[], 'the firmware does not try the network'],
    [['dhcp'], 'TFTP is blocked between the server and the conductor'],
    [['dhcp', 'loader'], 'iPXE has no driver for the card, or lost the link'],
    [['dhcp', 'loader', 'ipxe-dhcp'], 'HTTP is blocked between the server and the conductor'],
    [
      ['dhcp', 'loader', 'ipxe-dhcp', 'script', 'kernel', 'initrd'],
      'the kernel does not start on this machine: too little memory (1 GiB is needed) or a panic',
    ],
  ])('after %j the likeliest cause is: %s', (seen, cause) => {
    const account = explain(facts({}, seen))
    expect(account.causes[0]?.cause).toBe(cause)
    expect(account.causes[0]?.evidence.join()).toMatch(/no .*(request|word)/)
  })
  test.each([
    [['dhcp', 'loader'], 'no request for GRUB from shim', 'Secure Boot refused shim'],
    [['dhcp', 'loader', 'grub'], 'no boot script request', 'HTTP is blocked'],
  ])('with Secure Boot after %j comes what shim and GRUB fetch: %s', (seen, missing, cause) => {
    const { node, ...more } = facts({}, seen)
    const [first] = explain({ ...more, node: { ...node, properties: { capabilities: 'secure_boot:true' } } }).causes
    expect(first?.evidence).toContain(missing)
    expect(first?.cause).toContain(cause)
  })
  test('firmware that fetched iPXE and did not start it may have Secure Boot on', () => {
    const { causes } = explain(facts({}, ['dhcp', 'loader']))
    expect(causes.map(({ cause }) => cause)).toContain(
      'Secure Boot is on and the firmware refused iPXE, which is not signed',
    )
  })
  test('a node that came by shim although nothing is known of its Secure Boot goes the way of shim', () => {
    const { live, ...more } = facts({}, ['dhcp'])
    live.seen.set('loader', { atMs: 1, detail: 'bootx64.efi: shim, for Secure Boot' })
    expect(explain({ ...more, live }).causes[0]?.evidence).toContain('no request for GRUB from shim')
  })
  test('a card with another MAC, and a server that is off, come before everything else', () => {
    expect(explain(facts({ strangers: ['02:00:00:00:00:09'] })).causes[0]).toMatchObject({
      cause: 'it probably asks with a MAC address that belongs to no port',
      evidence: [expect.stringContaining('02:00:00:00:00:09')],
    })
    const off = facts()
    expect(explain({ ...off, node: { ...off.node, powerState: 'power off' } }).causes[0]?.cause).toBe(
      'the server is off',
    )
  })
  test.each(['active', 'available', 'clean failed', 'deploy hold'] as const)(
    'nothing is usual in "%s", where a node stays until a user goes on',
    (provisionState) => {
      const working = facts({ past: { of: 'model', tookMs: [1, 2, 3, 4, 5, 6] } })
      expect(explain({ ...working, node: { ...working.node, provisionState } }).usual).toBeNull()
    },
  )
  test('what is unusual is told by the model’s own past, and only by enough of it', () => {
    const tookMs = [30_000, 31_000, 32_000, 33_000, 40_000, 35_000]
    const past = { of: 'model', tookMs } as const
    expect(explain(facts({ past })).usual).toEqual({
      samples: 6,
      of: 'model',
      p5_seconds: 30,
      median_seconds: 33,
      p95_seconds: 40,
      unusual: true,
    })
    expect(explain(facts({ past, nowMs: 39_000 })).usual?.unusual).toBe(false)
    expect(explain(facts({ past: { ...past, tookMs: tookMs.slice(0, 4) } })).usual?.unusual).toBe(false)
  })
})
