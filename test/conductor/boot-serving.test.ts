/** Files for nodes that boot, from the process that sends them, over real sockets: the same answers and the same
 *  reports as without it; it has no privileges; what happens when it ends, and when the boot services do. */
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { BootFiles, SendEnd } from '../../conductor/boot/http.ts'
import { mediaPath } from '../../conductor/boot/media-http.ts'
import { servedFile, type ServedFiles } from '../../conductor/boot/render.ts'
import { HttpDoor } from '../../conductor/boot/serving/door.ts'
import { systemClock, until } from '../../kit/clock.ts'
import { companion, withoutPrivileges } from '../../kit/companion.ts'
import { Fault } from '../../kit/fault.ts'
import { silentLog } from '../../kit/log.ts'
import { isRunning } from '../../kit/run.ts'
import { freePort } from '../kit/free-port.ts'
import { RACKWARD_MAIN } from '../lab/root.ts'
import { hold, shoot } from '../security/flood.ts'

const ID = 'a'.repeat(64)
const IMAGE = `/images/${ID}/data.zst`
const NAME = 'm'.repeat(43)
const BYTES = randomBytes(3_000_000)
const TIMEOUT_MS = 40_000
const argv = [process.execPath, RACKWARD_MAIN, 'boot-files']

let dir = ''
let port = 0
let base = ''
let door: HttpDoor
const told: string[] = []
let open = 0
const ends: SendEnd[] = []
const launched: number[] = []

const filesOf = (served: ServedFiles): BootFiles => ({
  script: ({ mac, loader }, ip) => (ip === '127.0.0.1' ? `${loader} of ${mac}, é` : undefined),
  autoexec: (ip) => (ip === '127.0.0.1' ? Buffer.from('#!ipxe\n') : undefined),
  grubStart: () => {
    throw new Error('a fault of the scripts')
  },
  file: (path) => servedFile(path, served),
  fetched: (path, ip) => void told.push(`${ip} fetched ${path}`),
  sending: (path, ip) => {
    told.push(`${ip} begins ${path}`)
    open += 1
    return (end) => {
      open -= 1
      ends.push(end)
      told.push(`${ip} ends ${path}${end.whole ? ' whole' : ''}`)
    }
  },
  said: (what, ip) => void told.push(`${ip} said ${what}`),
  refused: (path, ip, why) => void told.push(`${ip} ${path}: ${why}`),
  answered: (status, whole) => void told.push(`answered ${status} ${whole}`),
  broke: (ip, error) => void told.push(`${ip} broke: ${String(error)}`),
  media: {
    begin: async (name) => {
      if (name !== NAME) throw new Fault('bmc.busy', 'busy')
      open += 1
      let bytes = 0
      return {
        medium: {
          nodeUuid: 'n',
          path: join(dir, 'iso'),
          sizeBytes: BYTES.length,
          tag: '"t"',
          region: { offset: 1_000_000, bytes: Buffer.from('REGION') },
        },
        sent: (more) => void (bytes += more),
        end: () => {
          open -= 1
          told.push(`media ${bytes}`)
        },
      }
    },
  },
})

async function makeDoor(launch = true): Promise<HttpDoor> {
  const served = {
    boot: {
      kernel: join(dir, 'kernel'),
      initrd: join(dir, 'none'),
      kernelArgs: [],
      architecture: 'x86_64',
      ramdisks: {},
    },
    images: { store: dir },
  } as unknown as ServedFiles
  const one = new HttpDoor({
    at: { port, host: '127.0.0.1' },
    files: filesOf(served),
    limits: {
      all: 24,
      perAddress: 8,
      idleMs: 5_000, // A reader of a busy machine may have no turn for seconds.
      sendBytes: 8_000_000,
      onRefused: (which, address) => void told.push(`limit ${which} ${address}`),
    },
    served,
    launch: launch
      ? (onMessage) => {
          const child = companion(withoutPrivileges(argv, process.getuid?.() === 0), {
            env: { PATH: process.env['PATH'] ?? '' },
            onMessage,
          })
          launched.push(child.pid ?? 0)
          return child
        }
      : undefined,
    onDropped: () => undefined,
    clock: systemClock,
    log: silentLog,
  })
  await one.start()
  return one
}

const serves = (one = door) => until(() => one.pid, { what: 'the process that sends files', timeoutMs: TIMEOUT_MS })
const hears = (line: string) =>
  until(() => told.includes(line), { what: line, timeoutMs: TIMEOUT_MS }).catch(() => expect(told).toContain(line))

interface Got {
  readonly status: number
  readonly headers: NodeJS.Dict<string | string[]>
  readonly bytes: Buffer
}

const get = (path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Got> =>
  new Promise((resolve, reject) => {
    request({ host: '127.0.0.1', port, path, headers, method, agent: false }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      const { statusCode: status = 0 } = response
      response.on('end', () => resolve({ status, headers: response.headers, bytes: Buffer.concat(chunks) }))
      response.on('error', reject)
    })
      .on('error', reject)
      .end()
  })

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-serving-'))
  await mkdir(join(dir, ID))
  await writeFile(join(dir, ID, 'data.zst'), BYTES)
  await writeFile(join(dir, 'iso'), BYTES)
  await writeFile(join(dir, 'kernel'), Buffer.alloc(50_000_000, 7))
  port = await freePort()
  base = `http://127.0.0.1:${port}`
})
afterAll(() => rm(dir, { recursive: true }))
beforeEach(() => void told.splice(0))

describe.each([
  ['a process of its own', true],
  ['the boot services themselves', false],
])('from %s', (_, launch) => {
  beforeAll(async () => {
    door = await makeDoor(launch)
    if (launch) await serves()
  }, 2 * TIMEOUT_MS)
  afterAll(() => door.stop())

  test('pieces by range, the whole, the length alone, and what is out of range', async () => {
    const part = await get(IMAGE, { range: 'bytes=1000000-1999999' })
    expect([part.status, part.headers['content-range'], part.headers['content-length']]).toEqual([
      206,
      'bytes 1000000-1999999/3000000',
      '1000000',
    ])
    expect(part.bytes.equals(BYTES.subarray(1_000_000, 2_000_000))).toBe(true)
    const whole = await get(IMAGE)
    expect([whole.status, whole.bytes.equals(BYTES)]).toEqual([200, true])
    expect([(await get(IMAGE, {}, 'HEAD')).headers['content-length'], told.length]).toEqual(['3000000', told.length])
    expect((await get(IMAGE, { range: 'bytes=9000000-' })).status).toBe(416)
    await hears(`127.0.0.1 fetched ${IMAGE}`)
  })

  test('scripts for who may have them, with their length in bytes; faults and methods as ever', async () => {
    const path = '/boot/02-00-00-00-00-01'
    const script = await get(`${path}/script.ipxe`)
    expect([script.status, script.bytes.toString()]).toEqual([200, 'ipxe of 02:00:00:00:00:01, é'])
    expect(script.headers['content-length']).toBe(String(script.bytes.length))
    expect((await get(`${path}/grub.cfg`)).bytes.toString()).toMatch(/^grub of/)
    expect((await get('/loader/autoexec.ipxe')).bytes.toString()).toBe('#!ipxe\n')
    expect(await shoot(base, `${path}/script.ipxe`, { from: '127.0.3.1' })).toBe(403)
    expect(await shoot(base, `${path}/script.ipxe`, { method: 'POST', body: 'x' })).toBe(405)
    expect(await shoot(base, '/grub/grub.cfg')).toBe(500)
    await until(() => told.some((line) => line.includes('broke: ') && line.endsWith('a fault of the scripts')), {
      what: 'the fault to be told',
      timeoutMs: TIMEOUT_MS,
    })
  })

  test('nothing but what is named: no configuration, no key, no path out of a directory', async () => {
    for (const path of ['/etc/passwd', `/images/${ID}/index.json`, `/images/../../etc/passwd`, '/ramdisk/rescue', '/'])
      expect(await shoot(base, path), path).toBe(404)
    expect(await shoot(base, '/agent-said/unreached', { from: '127.0.3.2' })).toBe(204)
    await hears('127.0.3.2 said unreached')
    expect(await shoot(base, '/ramdisk/initrd', { from: '127.0.3.3' })).toBe(404)
    await hears('127.0.3.3 /ramdisk/initrd: there is no such file')
  })

  test('a boot ISO has the region of its boot, whole and by range; too many at once are refused for now', async () => {
    const expected = Buffer.from(BYTES)
    expected.write('REGION', 1_000_000)
    expect((await get(mediaPath(NAME))).bytes.equals(expected)).toBe(true)
    const part = await get(mediaPath(NAME), { range: 'bytes=999998-1000003' })
    expect([part.status, part.bytes.equals(expected.subarray(999_998, 1_000_004))]).toEqual([206, true])
    const busy = await get(mediaPath('b'.repeat(43)))
    expect([busy.status, busy.headers['retry-after']]).toEqual([503, '1'])
    await hears('media 3000000')
    await hears('media 6')
    // Those of the test before may end only now.
    await until(() => open === 0, { what: 'no transfer', timeoutMs: TIMEOUT_MS })
  })

  test('transfers are told when they begin and end, with who took all of it, and who read nothing', async () => {
    expect((await get('/ramdisk/kernel')).bytes.length).toBe(50_000_000)
    await hears('127.0.0.1 ends /ramdisk/kernel whole')
    await hears('127.0.0.1 fetched /ramdisk/kernel')
    ends.length = 0
    const idle = await hold(base, 'GET /ramdisk/kernel HTTP/1.1\r\nHost: x\r\n\r\n', '127.0.3.5')
    idle.socket.pause()
    await hears('127.0.3.5 ends /ramdisk/kernel')
    expect(ends).toMatchObject([{ whole: false, stalled: true, totalBytes: 50_000_000 }])
    expect(ends[0]?.sentBytes).toBeLessThan(50_000_000)
    idle.socket.destroy()
  })

  test('one address gets its share of connections, and none of them more than a few requests at once', async () => {
    const many = []
    for (let i = 0; i < 12; i += 1) many.push(await hold(base, 'GET /ramdisk/kernel HTTP/1.1\r\n', '127.0.3.6'))
    await hears('limit perAddress 127.0.3.6')
    expect((await get(IMAGE)).status).toBe(200)
    for (const { socket } of many) socket.destroy()
    const one = await hold(base, 'GET /ramdisk/kernel HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(100), '127.0.3.7')
    one.socket.resume()
    await hears('127.0.3.7 begins /ramdisk/kernel')
    await until(() => one.socket.destroyed || one.socket.readableEnded, { what: 'its end', timeoutMs: TIMEOUT_MS })
    await hears('127.0.3.7 begins /ramdisk/kernel')
    await until(() => open === 0, { what: 'the end of all that it asked for', timeoutMs: TIMEOUT_MS })
    const begun = told.filter((line) => line === '127.0.3.7 begins /ramdisk/kernel').length
    expect([begun > 0, begun < 10]).toEqual([true, true])
    one.socket.destroy()
  })
})

describe('the process', () => {
  beforeAll(async () => {
    door = await makeDoor()
    await serves()
  }, 2 * TIMEOUT_MS)
  afterAll(() => door.stop())

  test('has no capability to bind ports or to send raw frames, cannot get one, and none of our environment', async () => {
    const status = await readFile(`/proc/${door.pid}/status`, 'utf8')
    const of = (name: string) => BigInt(`0x${new RegExp(`^${name}:\\s*(\\w+)`, 'm').exec(status)?.[1]}`)
    // CAP_DAC_READ_SEARCH for root, and nothing for anybody else.
    for (const set of ['CapEff', 'CapPrm', 'CapInh', 'CapAmb']) expect(of(set) & ~4n, set).toBe(0n)
    expect(status).toMatch(/^NoNewPrivs:\s*1$/m)
    const environment = (await readFile(`/proc/${door.pid}/environ`, 'utf8'))
      .split('\0')
      .map((one) => one.split('=')[0])
    expect(environment.filter(Boolean).sort()).toEqual(['NODE_CHANNEL_FD', 'NODE_CHANNEL_SERIALIZATION_MODE', 'PATH'])
  })

  test('is started again when it is killed; a transfer goes on by range from the boot services meanwhile', async () => {
    const pid = await serves()
    const one = await hold(base, 'GET /ramdisk/kernel HTTP/1.1\r\nHost: x\r\n\r\n', '127.0.3.8')
    await hears('127.0.3.8 begins /ramdisk/kernel')
    one.socket.pause()
    process.kill(pid, 'SIGKILL')
    await hears('127.0.3.8 ends /ramdisk/kernel')
    expect(open).toBe(0)
    const rest = await until(() => get('/ramdisk/kernel', { range: 'bytes=1000-2999' }).catch(() => undefined), {
      what: 'the rest of the transfer',
      timeoutMs: TIMEOUT_MS,
    })
    expect([rest.status, rest.bytes.length]).toEqual([206, 2_000])
    expect(isRunning(pid)).toBe(false)
    expect(await until(() => door.pid !== pid && door.pid, { what: 'the next one', timeoutMs: TIMEOUT_MS })).not.toBe(
      pid,
    )
    expect((await get(IMAGE)).bytes.equals(BYTES)).toBe(true)
    one.socket.destroy()
  })

  test('ends with the boot services, and the port is free for the next ones at once', async () => {
    const pid = await serves()
    await door.stop()
    expect(isRunning(pid)).toBe(false)
    door = await makeDoor()
    expect((await get(IMAGE)).status).toBe(200)
    await serves()
  })
})
