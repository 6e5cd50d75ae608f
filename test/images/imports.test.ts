/** What imports share and where they may reach: addresses, space, places, time; and what is left of those that were killed. */
import { lookup } from 'node:dns'
import { mkdir, mkdtemp, readdir, rm, statfs, truncate, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { imageWish } from '../../conductor/node/policy/instance-source.ts'
import { ImageSource } from '../../conductor/node/run/image-source.ts'
import { guarded, isClosed, type AddressGuard, type Lookup } from '../../images/address-guard.ts'
import { ImportBudget } from '../../images/budget.ts'
import { importImage } from '../../images/import.ts'
import { ImageStore } from '../../images/store.ts'
import { systemClock, until } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'
import { run, runOk } from '../../kit/run.ts'

const MIB = 1024 * 1024
let dir = ''
let store: ImageStore
let raw = ''
let server: Server
let base = ''
let open = 0
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-imports-'))
  store = new ImageStore(join(dir, 'store'))
  const disk = Buffer.alloc(2 * MIB, 'data')
  disk.writeUInt16LE(0xaa55, 510)
  raw = join(dir, 'disk.raw')
  await writeFile(raw, disk)
  server = createServer((request, response) => {
    open += 1
    response.on('close', () => (open -= 1))
    const to = new URL(request.url ?? '/', 'http://x').searchParams.get('to')
    if (to) return void response.writeHead(302, { location: to }).end()
    if (request.url === '/trickle') return void response.writeHead(200).write('x')
    response.writeHead(200, { 'content-length': disk.length }).end(disk)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterAll(async () => {
  server.closeAllConnections()
  server.close()
  await rm(dir, { recursive: true })
})

const ended = (promise: Promise<unknown>) =>
  promise.then(
    () => 'taken',
    (error: unknown) => (error instanceof Fault ? `${error.code}: ${error.detail}` : String(error)),
  )

describe('addresses', () => {
  test.each([
    ['127.0.0.1', true],
    ['127.9.9.9', true],
    ['0.0.0.0', true],
    ['0.1.2.3', true],
    ['169.254.169.254', true],
    ['224.0.0.1', true],
    ['255.255.255.255', true],
    ['192.0.2.7', true],
    ['::1', true],
    ['::', true],
    ['::7f00:1', true],
    ['::ffff:127.0.0.1', true],
    ['::ffff:7f00:1', true],
    ['::ffff:a9fe:a9fe', true],
    ['::ffff:192.0.2.7', true],
    ['64:ff9b::7f00:1', true],
    ['2002:7f00:1::', true],
    ['fe80::1', true],
    ['fe80::1%eth0', true],
    ['ff02::1', true],
    ['2001:db8::7', true],
    ['no address', true],
    ['10.0.0.5', false],
    ['172.16.0.1', false],
    ['192.168.1.1', false],
    ['198.51.100.1', false],
    ['fd00::1', false],
    ['2001:db8::8', false],
    ['::ffff:10.0.0.5', false],
  ])('%s: closed %s', (address, closed) => expect(isClosed(address, ['192.0.2.7', '2001:db8::7'])).toBe(closed))

  // What a URL makes of the many ways to write an address.
  test.each([
    'http://2130706433/',
    'http://0x7f.1/',
    'http://017700000001/',
    'http://127.1/',
    'http://[::1]/',
    'http://[::ffff:127.0.0.1]/',
    'http://0/',
    'http://①②⑦.0.0.1/',
  ])('%s is this machine', (url) =>
    expect(() => guarded(new URL(url), { allowedHosts: [] })).toThrow(/is on this machine/),
  )

  const named = (...answers: string[][]): AddressGuard & { asked: string[] } => {
    const asked: string[] = []
    const fake = ((name: string, _options: unknown, done: (...found: unknown[]) => void) => {
      asked.push(name)
      const addresses = answers[Math.min(asked.length, answers.length) - 1] ?? []
      done(
        null,
        addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
      )
    }) as unknown as Lookup
    return { allowedHosts: ['127.0.0.1'], lookup: fake, ownAddresses: () => ['192.0.2.7'], asked }
  }
  const fetched = (url: string, guard: AddressGuard) => ended(importImage(store, { source: url, name: 'x' }, { guard }))
  const port = () => new URL(base).port

  test('a name that leads here is refused before anything is sent, also when it is one address of several', async () => {
    for (const addresses of [['127.0.0.1'], ['10.0.0.9', '::1'], ['192.0.2.7']])
      expect(await fetched(`http://images.example:${port()}/`, named(addresses))).toMatch(
        /^input.invalid: instance_info\/image_source: images.example:\d+ is on this machine/,
      )
    expect(open).toBe(0)
  })
  test('a name is asked once for each connection, and the connection goes to what was checked', async () => {
    // Rebinding: the second answer would be this machine.
    const guard = named(['192.0.2.200'], ['127.0.0.1'])
    const abort = new AbortController()
    const going = ended(
      importImage(store, { source: `http://images.example:${port()}/`, name: 'x' }, { guard, signal: abort.signal }),
    )
    await until(() => guard.asked.length === 1, { what: 'the look-up', timeoutMs: 5000, everyMs: 5 })
    await systemClock.sleep(50)
    abort.abort(new Fault('image.source', 'enough'))
    await going
    expect([guard.asked, open]).toEqual([['images.example'], 0])
  })
  test.each([
    'http://localhost:PORT/',
    'http://[::1]:PORT/',
    'http://2130706433:PORT/x',
    'file:///etc/passwd',
    'ftp://127.0.0.1/',
    'http://',
    'gopher://x/',
  ])('a redirect to %s is not followed', async (to) => {
    const guard: AddressGuard = { allowedHosts: ['127.0.0.1'], lookup }
    const allowed = to.includes('2130706433')
    const end = await fetched(`${base}/?to=${encodeURIComponent(to.replace('PORT', port()))}`, guard)
    // The decimal form is 127.0.0.1 once it is parsed, which is allowed here.
    expect(end).toMatch(allowed ? /^taken$/ : /^(input.invalid|image.source): /)
  })
  test('what is found there is not told', async () => {
    const checksum = { algo: 'sha256', hex: 'f'.repeat(64) } as const
    const end = await ended(importImage(store, { source: raw, name: 'x', checksum }))
    expect(end).toContain(`has another SHA-256 than ${'f'.repeat(64)}`)
    expect(end.replace('f'.repeat(64), '')).not.toMatch(/[0-9a-f]{64}/)
  })
})

test.each([
  'a:/../../etc/passwd',
  'ftp://x/y',
  'data:,x',
  'nbd://x',
  '/etc/passwd',
  '../x',
  'json:{"driver":"file"}',
  'http:',
  'a b',
  `x${'y'.repeat(200)}`,
])('the source %s is no image of anybody', (image_source) => {
  expect(() => imageWish({ image_source, image_checksum: 'f'.repeat(64) })).toThrow(
    expect.objectContaining({
      code: 'input.invalid',
      detail: expect.stringContaining('instance_info/image_source') as string,
    }),
  )
})

describe('the budget', () => {
  test('so many at a time; who does not want to wait any more leaves the queue', async () => {
    const budget = new ImportBudget({ imports: 2 }, systemClock)
    let [running, most] = [0, 0]
    const release: (() => void)[] = []
    const work = () =>
      budget.run(undefined, async () => {
        running += 1
        most = Math.max(most, running)
        await new Promise<void>((resolve) => release.push(resolve))
        running -= 1
      })
    const all = Array.from({ length: 5 }, work)
    const impatient = new AbortController()
    const left = ended(budget.run(impatient.signal, async () => 'ran'))
    impatient.abort(new Fault('image.source', 'not any more'))
    expect(await left).toBe('image.source: not any more')
    for (let done = 0; done < 5; done += 1) {
      await until(() => release.length > 0, { what: 'a turn', timeoutMs: 5000, everyMs: 1 })
      release.shift()?.()
    }
    await Promise.all(all)
    expect([most, running]).toEqual([2, 0])
  })
  test('free space is promised once', async () => {
    const { bavail, bsize } = await statfs(dir)
    const freeBytes = bavail * bsize
    const budget = new ImportBudget({ reserveBytes: Math.floor(freeBytes / 2) }, systemClock)
    const third = Math.floor(freeBytes / 3)
    const [one, two] = [budget.claim(dir), budget.claim(dir)]
    const ends = await Promise.all([ended(one.grow(third)), ended(two.grow(third))])
    expect(ends.toSorted()).toEqual([expect.stringContaining('to spare'), 'taken'])
    one.release()
    two.release()
    expect(await ended(budget.claim(dir).grow(third))).toBe('taken')
  })
  test('an import that takes too long ends, and leaves nothing', async () => {
    const budget = new ImportBudget({ importSeconds: 0.3 }, systemClock)
    expect(await ended(importImage(store, { source: `${base}/trickle`, name: 'x' }, { budget }))).toContain(
      'limits.images.importSeconds',
    )
    await until(() => open === 0, { what: 'the connection to end', timeoutMs: 5000, everyMs: 5 })
    expect((await readdir(store.root)).filter((entry) => entry.startsWith('.part'))).toEqual([])
  })
  test('a download that is slower than the least rate ends', async () => {
    // A minute of the clock is a moment here.
    const fast = { ...systemClock, after: (ms: number, act: () => void) => systemClock.after(ms / 600, act) }
    const budget = new ImportBudget({ leastBytesPerSecond: 1000 }, fast)
    expect(
      await ended(importImage(store, { source: `${base}/trickle`, name: 'x' }, { budget, clock: fast })),
    ).toContain('limits.images.leastBytesPerSecond')
  })
  test('an import whose nodes do not want it any more ends; one that others wait for goes on', async () => {
    const source = new ImageSource({
      store,
      allowedPaths: [],
      budget: new ImportBudget({}, systemClock),
      guard: { allowedHosts: ['127.0.0.1'] },
    })
    const node = { instanceInfo: { image_source: `${base}/trickle`, image_checksum: 'a'.repeat(64) } }
    const [one, two] = [new AbortController(), new AbortController()]
    const ends = [ended(source.resolve(node, one.signal)), ended(source.resolve(node, two.signal))]
    await until(() => open === 1, { what: 'the download', timeoutMs: 5000, everyMs: 5 })
    one.abort(new Fault('node.lock-broken', 'no'))
    expect(await ends[0]).toBe('node.lock-broken: no')
    expect(open).toBe(1)
    two.abort(new Fault('node.lock-broken', 'no'))
    await ends[1]
    await until(async () => open === 0 && !(await readdir(store.root)).some((entry) => entry.startsWith('.part')), {
      what: 'the end of the import',
      timeoutMs: 5000,
      everyMs: 5,
    })
  })
})

describe('a qcow2', () => {
  test('that is too big once it is unpacked is refused by its header', async () => {
    const huge = join(dir, 'huge.qcow2')
    await runOk(['qemu-img', 'create', '-q', '-f', 'qcow2', huge, '8T'], { timeoutMs: 60_000 })
    const budget = new ImportBudget({ virtualSizeBytes: 1024 ** 4 }, systemClock)
    expect(await ended(importImage(store, { source: huge, name: 'x' }, { budget }))).toMatch(
      /^image.format: .*8.8 TB once it is unpacked/,
    )
  })
  test('whose data does not fit beside the reserve is refused before it is unpacked, compressed as it may be', async () => {
    const big = join(dir, 'big.raw')
    await run(['sh', '-c', 'yes rackward | head -c 268435456 > "$0"', big], { timeoutMs: 60_000 })
    const small = join(dir, 'small.qcow2')
    await runOk(['qemu-img', 'convert', '-c', '-f', 'raw', '-O', 'qcow2', big, small], { timeoutMs: 120_000 })
    await rm(big)
    const { bavail, bsize } = await statfs(dir)
    // 100 MiB are free beside the reserve: far more than the file has, less than its data.
    const budget = new ImportBudget({ reserveBytes: bavail * bsize - 100 * MIB }, systemClock)
    expect(await ended(importImage(store, { source: small, name: 'x' }, { budget }))).toMatch(
      /^image.source: the image needs 2\d\d\.\d MB more/,
    )
    expect((await readdir(store.root)).filter((entry) => entry.startsWith('.part'))).toEqual([])
  }, 120_000)
})

describe('the store', () => {
  test('at its start it removes what dead imports left, and nothing of living ones', async () => {
    const own = new ImageStore(join(dir, 'left'))
    const mine = await own.scratch()
    const dead = [`.part-${2 ** 22 + 1}-77-1`, `.part-${process.pid}-1-1`, '.part-4711-1']
    for (const entry of dead) await mkdir(join(own.root, entry))
    await own.clean()
    expect(await readdir(own.root)).toEqual([mine.split('/').at(-1)])
  })
  test.each(['', '{', '[]', '{"id":1}'])(
    'an index of %j takes out its image alone, is named, and can be removed',
    async (text) => {
      const own = new ImageStore(join(dir, `broken-${text.length}`))
      const good = await importImage(own, { source: raw, name: 'good' })
      const id = 'e'.repeat(64)
      await mkdir(join(own.root, id))
      await writeFile(join(own.root, id, 'index.json'), text)
      expect((await own.list()).map((image) => image.id)).toEqual([good.id])
      expect((await own.find('good')).id).toBe(good.id)
      expect(await own.broken()).toEqual([{ id, why: expect.stringContaining(id) as string }])
      expect(await ended(own.find('other'))).toContain(`the index of ${id.slice(0, 16)} cannot be read`)
      await own.remove((await own.which(id)).id)
      expect(await own.broken()).toEqual([])
      // The same image, damaged later, is noticed, and an import of it mends it.
      await truncate(join(own.root, good.id, 'index.json'), 3)
      expect((await own.broken()).length).toBe(1)
      await importImage(own, { source: raw, name: 'good' })
      expect([await own.broken(), (await own.find('good')).id]).toEqual([[], good.id])
    },
  )
})
