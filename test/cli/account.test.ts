/** The account and the health of a node as a person reads them: the evidence that several causes share stands there
 *  once; what an older conductor does not say is left out. */
import { expect, test } from 'vitest'
import { accountText } from '../../cli/explain.ts'
import { healthText } from '../../cli/health.ts'

test('an account of a node that does not call', () => {
  const evidence = ['seen: DHCP answered', 'no boot file request']
  expect(
    accountText({
      provision_state: 'inspect wait',
      description: 'the agent looks at the hardware',
      waits_for: 'the server to boot the ramdisk',
      since: '2026-01-01T00:00:00+00:00',
      elapsed_seconds: 300,
      deadline: '2026-01-01T00:30:00+00:00',
      lock: null,
      usual: { samples: 9, median_seconds: 30, p95_seconds: 41, unusual: true },
      seen: [{ category: 'boot', what: 'DHCP answered', at: '2026-01-01T00:00:10+00:00', detail: 'ack 10.0.0.5' }],
      ports: [
        {
          uuid: 'p',
          address: '02:00:00:00:00:01',
          card: '0x8086:0x1593',
          switch_port: {
            circuit_id: 'Eth1/7',
            remote_id: 'leaf3',
            relay: '10.50.0.1',
            seen_at: '2026-01-01T00:00:10+00:00',
          },
          loader: { file: 'ipxe.efi', worked: true, silent: ['snponly.efi'], seen_at: '2026-01-01T00:00:20+00:00' },
        },
      ],
      drift: [{ what: 'bios', name: 'ProcCores', applied: '16', now: '8', since: '2026-01-01T00:00:00+00:00' }],
      erased: {
        at: '2025-12-31T00:00:00+00:00',
        step: 'erase_devices_express',
        disks: [
          { disk: '/dev/sda', serial: 's1', sizeBytes: 1, how: 'metadata', description: 'signatures were zeroed' },
        ],
      },
      causes: [
        { cause: 'TFTP is blocked', evidence, remedy: 'let it pass' },
        { cause: 'secure boot', evidence, remedy: 'switch it off' },
      ],
    }),
  ).toBe(`inspect wait: the agent looks at the hardware
waits for   the server to boot the ramdisk
since       2026-01-01T00:00:00+00:00 (300 s), until 2026-01-01T00:30:00+00:00
usually     30 to 41 s, now 5 min 0 s (9 times on this model): this is unusual
seen
  2026-01-01T00:00:10+00:00  boot   DHCP answered (ack 10.0.0.5)
erased      2025-12-31T00:00:00+00:00 by erase_devices_express
  /dev/sda (s1): signatures were zeroed
port        02:00:00:00:00:01
  switch port Eth1/7 of leaf3, through relay 10.50.0.1 (2026-01-01T00:00:10+00:00)
  loader      ipxe.efi: booted, after snponly.efi fell silent (2026-01-01T00:00:20+00:00)
drift       BIOS setting ProcCores is 8; 16 was applied (since 2026-01-01T00:00:00+00:00)
likely causes if it stays in this state
  1. TFTP is blocked
     seen: DHCP answered
     no boot file request
     -> let it pass
  2. secure boot
     -> switch it off`)
})

test('an account of a node at rest says nothing about what is usual', () => {
  const text = accountText({
    provision_state: 'active',
    description: 'the instance runs',
    waits_for: 'nothing',
    since: '2026-01-01T00:00:00+00:00',
    elapsed_seconds: 300,
    deadline: null,
    lock: null,
    usual: null,
    seen: [],
    ports: [],
    drift: [],
    erased: null,
    causes: [],
  })
  expect(text).toBe(`active: the instance runs
waits for   nothing
since       2026-01-01T00:00:00+00:00 (300 s)`)
})

test('the health that a conductor tells which knows no events of BMCs', () => {
  const sensors = [{ kind: 'fan', name: 'Fan 1', reading: 4800, unit: 'RPM', health: 'OK' }]
  const text = healthText({ health: 'OK', boot_mode: 'uefi', secure_boot: null, sensors })
  expect(text).toMatch(/health +OK\n[^]*Fan 1 +4800 RPM +OK/)
})

test('what is usual is a range, with what was compared and what is left', () => {
  const usual = {
    samples: 12,
    of: 'image',
    p5_seconds: 41.2,
    median_seconds: 48,
    p95_seconds: 55,
    unusual: true,
  } as const
  const text = (elapsed: number, more: object = {}) =>
    accountText({
      provision_state: 'wait call-back',
      description: 'd',
      waits_for: 'w',
      since: 's',
      elapsed_seconds: elapsed,
      deadline: null,
      lock: null,
      usual: { ...usual, ...more },
      left_seconds: 74,
      seen: [],
      erased: null,
      causes: [],
    })
  expect(text(190)).toMatch(
    /^usually {5}41 to 55 s, now 3 min 10 s \(12 times with this model, firmware and image\): this is unusual\nleft {8}about 1 min 14 s$/m,
  )
  expect(text(5, { p95_seconds: 130, unusual: false, of: 'state', samples: 1 })).toMatch(
    /^usually {5}41 s to 2 min 10 s, now 5 s \(1 time on this model, whatever the state was for\)$/m,
  )
  expect(text(5, { p95_seconds: 41 })).toMatch(/^usually {5}41 s, now/m)
})
