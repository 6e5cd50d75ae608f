/** Guests of a real libvirt on three hosts (QEMU in software, a boot sector as the tiniest of kernels): a host is
 *  killed, its guests run elsewhere; the truth is read from the QEMU processes, and none may ever be there twice. `npm
 *  run test:libvirt`. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { until } from '../../kit/clock.ts'
import { watchDoubles, type DoublesWatch } from './doubles.ts'
import { MeshLab } from './lab.ts'

let lab: MeshLab
let doubles: DoublesWatch | undefined

/** 16-bit: print an "A" (INT 10h), halt, for ever. */
const bootSector = Buffer.concat([
  Buffer.from([0xb4, 0x0e, 0xb0, 0x41, 0xcd, 0x10, 0xfa, 0xf4, 0xeb, 0xfd]),
  Buffer.alloc(500),
  Buffer.from([0x55, 0xaa]),
])

const domain = (name: string, disk: string, more = '') => `<domain type='qemu'>
  <name>${name}</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>${more}
  <os><type arch='x86_64' machine='pc'>hvm</type><boot dev='hd'/></os>
  <devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='${disk}'/><target dev='vda' bus='virtio'/></disk>
  </devices></domain>`

async function guest(host: string, name: string, more?: string): Promise<void> {
  const disk = join(lab.dir, 'shared', `${name}.raw`)
  await writeFile(disk, bootSector)
  const xml = join(lab.dir, `${name}.xml`)
  await writeFile(xml, domain(name, disk, more))
  await lab.virsh(host, ['define', xml])
  await lab.virsh(host, ['start', name])
}

beforeAll(async () => {
  lab = await MeshLab.up({ hosts: 3, arbiters: 3, racks: 3, storage: true, libvirt: true })
  for (const host of lab.hosts)
    await until(() => lab.virsh(host.name, ['version']).catch(() => undefined), {
      what: `libvirtd of ${host.name}`,
      timeoutMs: 30_000,
      everyMs: 300,
    })
  await lab.api('PUT', '/rackward/v1/mesh/policy', {
    armed: true,
    why: 'a test',
    limits: { fenceShare: 1, fenceCap: 100, cooldownMs: 3_000 },
  })
  for (const host of lab.hosts) for (const n of [1, 2]) await guest(host.name, `${host.name}-vm${n}`)
  await guest(
    'h1',
    'h1-unwanted',
    `<metadata><rw:instance xmlns:rw='urn:rackward:instance:1' evacuate='no'/></metadata>`,
  )
  doubles = watchDoubles(lab)
}, 240_000)

afterAll(async () => {
  await doubles?.stop()
  await lab?.down()
}, 60_000)

const host = async (name: string) => (await lab.status()).hosts.find((one: { name: string }) => one.name === name)

test(
  'what runs where is exported, and what is not protected is told before anything fails',
  { timeout: 90_000 },
  async () => {
    const h1 = await until(async () => ((await host('h1'))?.instances === 3 ? host('h1') : undefined), {
      what: 'the survey',
      timeoutMs: 80_000,
      everyMs: 500,
    })
    expect(h1.unprotected).toMatchObject([{ name: 'h1-unwanted', because: expect.stringMatching(/evacuate="no"/) }])
  },
)

test.each(['cutPower', 'hang'] as const)(
  '%s: the guests of the host run elsewhere, once; it comes back clean',
  { timeout: 180_000 },
  async (how) => {
    await until(async () => (await lab.status()).hosts.every(({ state }: { state: string }) => state === 'healthy'), {
      what: 'all hosts to be well',
      timeoutMs: 60_000,
      everyMs: 500,
    })
    const victim = lab.node(how === 'hang' ? 'h2' : 'h1')
    const own = [...(await lab.truth())]
      .filter(([id, [at]]) => at === victim.name && !id.endsWith('unwanted'))
      .map(([id]) => id)
    expect(own.length).toBeGreaterThan(0)
    await lab[how](victim)
    await until(async () => (await host(victim.name)).state === 'evacuated', {
      what: 'the guests to be moved',
      timeoutMs: 60_000,
      everyMs: 300,
    }).catch(async (error: Error) => {
      throw new Error(
        `${error.message}: ${JSON.stringify((await lab.api('GET', '/rackward/v1/incidents')).incidents[0])}`,
      )
    })
    const truth = await lab.truth()
    for (const id of own) {
      expect(truth.get(id)?.length, id).toBe(1)
      expect(truth.get(id)?.[0]).not.toBe(victim.name)
    }
    await lab.powerOn(victim)
    await until(
      async () => (await host(victim.name)).state === 'healthy' && (await host(victim.name)).gate === 'open',
      {
        what: 'the host to be back',
        timeoutMs: 90_000,
        everyMs: 500,
      },
    )
    await until(async () => !(await defined(victim.name)).some((id) => own.includes(id)), {
      what: 'the leftovers to be gone',
      timeoutMs: 30_000,
      everyMs: 500,
    })
    expect(doubles?.twice).toEqual([])
  },
)

const defined = async (name: string) => (await lab.virsh(name, ['list', '--all', '--name'])).split('\n').filter(Boolean)
