/** What goes wrong in racks, with the real parts: each ends in the right state, and last_error says what happened,
 *  to what, and what to do. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { mintToken } from '../../conductor/boot/token.ts'
import { until } from '../../kit/clock.ts'
import { run } from '../../kit/run.ts'
import { driverInfo, enroll, provision, waitState } from '../lab/journey.ts'
import { RACKWARD_MAIN, ROOT } from '../lab/root.ts'
import type { Server } from '../lab/server.ts'
import { sh } from '../lab/shell.ts'
import { headOf, openBench, useTiny, type Bench } from './setup.ts'
import { failing, Subject } from './subject.ts'

const GIB = 1024 ** 3
const MIB = 1024 ** 2
let bench: Bench
let server: Server
let silent: Server
let silence: Promise<string>
let tiny = ''
let subject: Subject
beforeAll(async () => {
  bench = await openBench('fail', {
    callbackTimeoutSeconds: 180,
    agentSilenceSeconds: 12,
    powerTimeoutSeconds: 30,
    effectTries: 2,
  })
  const virtio = { card: 'virtio', diskKind: 'virtio', diskBytes: 5 * GIB, memoryMb: 1024 } as const
  server = await bench.rack.addServer({ name: 'one', firmware: 'bios', ...virtio, moreDisks: [256 * MIB] })
  silent = await bench.rack.addServer({ name: 'two', firmware: 'uefi', ...virtio })
  subject = new Subject(bench, server)
  // Progress comes about once a second: at full speed an image of this size is written between two reports.
  const slow = `tc qdisc add dev ${server.taps[0]} root tbf rate 300mbit burst 256kb latency 100ms`
  await sh(bench.rack.in(slow.split(' ')))
  tiny = await useTiny(bench, 'tiny', { dataMib: 192, totalMib: 512 })
  await bench.conductor.start()
  silence = neverCallsBack()
  silence.catch(() => undefined)
})
afterAll(() => bench?.rack.down())

/** A server whose HTTP is lost on the way: the loader comes by TFTP, and then nothing. Its time passes while the others
 *  are tested. Answers its node. */
async function neverCallsBack(): Promise<string> {
  const uuid = await enroll(api(), silent)
  const { ports } = (await api().ok('GET', `/v1/nodes/${uuid}/ports`)) as { ports: { uuid: string }[] }
  await api().ok('PATCH', `/v1/ports/${ports[0]?.uuid}`, [
    { op: 'add', path: '/extra/ipv4_address', value: '10.77.0.50' },
  ])
  const lost = [
    'add table inet faults',
    'add chain inet faults in { type filter hook input priority 0; }',
    'add rule inet faults in ip saddr 10.77.0.50 tcp dport 8080 drop',
  ]
  await sh(bench.rack.in(['nft', lost.join('; ')]))
  await provision(api(), uuid, { target: 'manage' }, { to: 'manageable' })
  await api().ok('PUT', `/v1/nodes/${uuid}/states/provision`, { target: 'inspect' })
  return uuid
}

const api = () => bench.conductor.api

describe('the BMC', () => {
  test.each([
    [
      'a wrong password',
      () => ({ ipmi_password: 'wrong' }),
      /refused the user admin or its password.*correct the user and the password of the BMC/,
    ],
    ['no answer', () => ({ ipmi_address: '10.77.0.254' }), /10\.77\.0\.254 did not answer.*check its address/],
    ['no route', () => ({ ipmi_address: '198.51.100.1' }), /198\.51\.100\.1 cannot be reached.*check its address/],
  ])('%s: back to enroll, and last_error says so', async (name, more, says) => {
    const made = await api().ok('POST', '/v1/nodes', {
      driver: 'ipmi',
      name: name.replaceAll(' ', '-'),
      driver_info: { ...driverInfo(server), ...more() },
    })
    try {
      const manage = provision(api(), String(made.uuid), { target: 'manage' }, { to: 'manageable' })
      expect(await failing(manage)).toMatch(says)
      expect(JSON.stringify(await subject.look(String(made.uuid)))).not.toContain('wrong"')
    } finally {
      // One BMC belongs to one node, and the server is enrolled later.
      await api().ok('DELETE', `/v1/nodes/${String(made.uuid)}`)
    }
  })
})

test('a second conductor on the same data refuses to start, and says why', async () => {
  const { code, stderr } = await run(
    bench.rack.in([process.execPath, RACKWARD_MAIN, 'conductor', '--config', bench.conductor.configFile]),
    {
      timeoutMs: 30_000,
    },
  )
  expect([code, stderr]).toEqual([1, expect.stringMatching(/another conductor holds .*stop the other conductor/)])
  expect((await api().call('GET', '/healthz')).status).toBe(200)
})

test('a MAC that belongs to no port gets no answer, however often it asks, and one event', async () => {
  const ask = async (lastByte: string) =>
    (
      await run(bench.rack.in([process.execPath, join(ROOT, 'dist/test/rack/stranger.js'), lastByte]), {
        timeoutMs: 30_000,
      })
    ).stdout.trim()
  expect([await ask('1'), await ask('1'), await ask('2')]).toEqual(['0', '0', '0'])
  const events = () => {
    const db = new Database(join(bench.rack.dir, 'data/rackward.db'), { readonly: true })
    const rows = db.prepare("SELECT detail FROM events WHERE kind = 'unknown-mac' ORDER BY seq").all() as {
      detail: string
    }[]
    db.close()
    return rows.map(({ detail }) => (JSON.parse(detail) as { mac: string }).mac).filter((mac) => mac.startsWith('02:'))
  }
  await until(() => events().length >= 2, { what: 'the events', timeoutMs: 20_000 })
  expect(events()).toEqual(['02:00:00:00:ee:01', '02:00:00:00:ee:02'])
})

describe('on a server whose agent is parked', () => {
  beforeAll(async () => {
    subject.node = await enroll(api(), server)
    await provision(api(), subject.node, { target: 'manage' }, { to: 'manageable' })
    await provision(api(), subject.node, { target: 'inspect' }, { to: 'manageable' })
    await provision(api(), subject.node, { target: 'provide' }, { to: 'available' })
  })

  test('no disk matches the hints', async () => {
    await subject.setInfo({ image_source: tiny, root_device: { serial: 'no-such-disk' } })
    expect(await failing(subject.deploy())).toMatch(
      /deploy failed: none of \/dev\/vda .*one-d0.*matches \{"serial":"no-such-disk"\} \(correct properties\/root_device/,
    )
  })

  test('the disk is smaller than the image', async () => {
    await subject.setInfo({ image_source: tiny, root_device: { serial: 'one-d1' } })
    expect(await failing(subject.deploy())).toMatch(
      /deploy failed: the image needs 536870912 bytes.*one-d1.*choose a larger disk/,
    )
  })

  test('the image has another checksum than promised: the deploy fails before the disk is touched', async () => {
    const path = join(bench.rack.dir, 'other.raw')
    const raw = Buffer.alloc(2 * MIB, 1)
    raw.writeUInt16LE(0xaa55, 510)
    await writeFile(path, raw)
    const before = await headOf(server.diskFile, 4 * MIB)
    await subject.setInfo({ image_source: `file://${path}`, image_checksum: 'a'.repeat(64) })
    expect(await failing(subject.deploy())).toMatch(
      /deploy failed: .*other\.raw has another SHA-256 than a{64} \(download the image again, or correct its checksum\)/,
    )
    expect((await headOf(server.diskFile, 4 * MIB)).equals(before)).toBe(true)
  })

  test('the stored image is damaged: the piece is found out, and nothing boots from that disk', async () => {
    const data = bench.store.dataPath(tiny)
    const bytes = await readFile(data)
    await subject.setInfo({ image_source: tiny })
    const at = Math.floor(bytes.length / 2)
    await writeFile(data, Buffer.from(bytes).fill(bytes[at]! ^ 0xff, at, at + 1))
    try {
      expect(await failing(subject.deploy())).toMatch(/deploy failed: .*piece \d+.*(SHA-256|cannot be decompressed)/)
    } finally {
      await writeFile(data, bytes)
    }
    expect((await headOf(server.diskFile, 4 * MIB)).every((byte) => byte === 0)).toBe(true)
  })

  test('the download breaks in the middle: it goes on where it was', async () => {
    await subject.setInfo({ image_source: tiny })
    const done = subject.deploy()
    await subject.writing(40 * MIB)
    // The whole HTTP server dies, with every connection; the conductor notices and starts it again.
    const before = await subject.bootServices()
    expect(before).toHaveLength(1)
    for (const pid of before) process.kill(Number(pid), 'SIGKILL')
    const progress: number[] = []
    await until(
      async () => {
        const bytes = await subject.writtenBytes()
        if (bytes !== undefined) progress.push(bytes)
        return (await subject.look()).provision_state !== 'wait call-back'
      },
      { what: 'the deploy to end', timeoutMs: 400_000, everyMs: 200 },
    )
    await done
    // What was written before the break was not written again.
    expect(Math.min(...progress)).toBeGreaterThanOrEqual(40 * MIB)
    expect((await subject.look()).driver_internal_info.rackward.attempt).toBe(1)
    // Every piece was read back and compared by then; the boot sector comes last.
    expect(await subject.signature()).toBe(0xaa55)
  })

  test('the conductor is killed while the image is written: the deploy goes on and ends well', async () => {
    await api().ok('PUT', `/v1/nodes/${subject.node}/states/provision`, { target: 'rebuild' })
    await subject.writing(30 * MIB)
    const before = (await subject.look()).driver_internal_info.rackward
    await bench.conductor.kill()
    await bench.conductor.start()
    const after = await waitState(api(), subject.node, { to: 'active' })
    expect([before.attempt, after.driver_internal_info.rackward.phase]).toEqual([1, 'rest'])
    expect((await subject.look()).driver_internal_info.rackward.attempt).toBe(1)
  })
})

describe('boot tokens', () => {
  const replay = async (token: string) =>
    (
      await run(bench.rack.in([process.execPath, join(ROOT, 'dist/test/rack/replay.js'), bench.rack.dir, token]), {
        timeoutMs: 30_000,
      })
    ).stdout.trim()
  test('a token of the boot before it left for its disk opens no session, nor does one of another boot', async () => {
    const db = new Database(join(bench.rack.dir, 'data/rackward.db'), { readonly: true })
    const { workflow } = JSON.parse(
      (db.prepare('SELECT body FROM nodes WHERE uuid = ?').get(subject.node) as { body: string }).body,
    ) as {
      workflow: { generation: number }
    }
    db.close()
    const key = Buffer.from((await readFile(join(bench.rack.dir, 'data/boot.key'), 'utf8')).trim(), 'hex')
    const used = mintToken(key, { nodeUuid: subject.node, generation: workflow.generation, mintedMs: Date.now() })
    expect(await replay(used)).toMatch(/^agent\.token: the boot token was used already/)
    expect(
      await replay(
        mintToken(key, { nodeUuid: subject.node, generation: workflow.generation - 1, mintedMs: Date.now() }),
      ),
    ).toMatch(/^agent\.token: the boot token is of boot/)
    expect(await replay(`${used.slice(0, -1)}${used.endsWith('A') ? 'B' : 'A'}`)).toMatch(
      /^agent\.token: the boot token was not minted here/,
    )
  })
  test('a boot script is given to the node’s own address only', async () => {
    const script = `http://10.77.0.1:8080/boot/${server.mac.replaceAll(':', '-')}/script.ipxe`
    const ask = ['curl', '-s', '-o', '/dev/null', '-w', '%{http_code}', script]
    const { stdout } = await run(bench.rack.in(ask), { timeoutMs: 10_000 })
    expect(stdout).toBe('403')
  })
})

test('a server that never calls back: time-out, with the last thing seen of it', async () => {
  const uuid = await silence
  const message = await failing(waitState(api(), uuid, { to: 'manageable' }))
  expect(message).toMatch(
    /inspect failed: the node never called back; last seen: DHCP answered \(ack 10\.77\.0\.50\), boot file fetched \(snponly\.efi: iPXE with the firmware's driver\), iPXE got its address .*no boot script request/,
  )
  await until(async () => (await api().ok('GET', `/v1/nodes/${uuid}`)).power_state === 'power off', {
    what: 'the silent server to be switched off',
    timeoutMs: 30_000,
  })
})
