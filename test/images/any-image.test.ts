/** Images as people have them: qcow2 of each kind, wrapped, of other formats, hostile. What opens them has no
 *  privileges and cannot outgrow its limits. */
import { randomBytes } from 'node:crypto'
import { chmod, mkdtemp, open, readdir, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ImportBudget } from '../../images/budget.ts'
import { NOBODY, runConfined, unprivileged } from '../../images/confined.ts'
import { importImage } from '../../images/import.ts'
import { ImageStore } from '../../images/store.ts'
import { systemClock } from '../../kit/clock.ts'
import { runOk } from '../../kit/run.ts'
import { ended, MIB } from './import-bench.ts'

const SIZE = 12 * MIB
const NEVER = new AbortController().signal
let dir = ''
let raw = ''
let store: ImageStore
let wanted = ''
const sh = (script: string, ...args: string[]) => runOk(['sh', '-ec', script, ...args], { timeoutMs: 120_000 })
const at = (name: string) => join(dir, name)
const left = async () => (await readdir(store.root)).filter((entry) => entry.startsWith('.part'))

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-any-'))
  store = new ImageStore(at('store'))
  raw = at('disk.raw')
  const disk = Buffer.alloc(SIZE)
  randomBytes(MIB).copy(disk)
  Buffer.alloc(3 * MIB, 'compressible').copy(disk, 5 * MIB)
  disk.writeUInt16LE(0xaa55, 510)
  await writeFile(raw, disk)
  wanted = (await importImage(store, { source: raw, name: 'raw' })).id
}, 60_000)
afterAll(() => rm(dir, { recursive: true }))

describe('taken, byte for byte', () => {
  const QCOW2 = 'qemu-img convert -f raw -O qcow2'
  test.each([
    ['qcow2 version 2', `${QCOW2} -o compat=0.10 "$0" "$1"`],
    ['qcow2 version 3', `${QCOW2} -o compat=1.1 "$0" "$1"`],
    ['qcow2 version 2 with clusters of zlib', `${QCOW2} -c -o compat=0.10 "$0" "$1"`],
    ['qcow2 version 3 with clusters of zlib', `${QCOW2} -c -o compression_type=zlib "$0" "$1"`],
    ['qcow2 version 3 with clusters of zstd', `${QCOW2} -c -o compression_type=zstd "$0" "$1"`],
    ['qcow2 with extended L2 entries', `${QCOW2} -o extended_l2=on,cluster_size=128k "$0" "$1"`],
    ['qcow2 with a snapshot', `${QCOW2} "$0" "$1"; qemu-img snapshot -c old "$1"`],
    ['raw in gzip', 'gzip -1 -c "$0" > "$1"'],
    ['raw in gzip of two members', '{ head -c 1000000 "$0" | gzip; tail -c +1000001 "$0" | gzip; } > "$1"'],
    ['raw in xz', 'xz -1 -c "$0" > "$1"'],
    ['raw in zstd', 'zstd -q -1 -c "$0" > "$1"'],
    ['raw in zstd with a long window', 'zstd -q --long=27 -c "$0" > "$1"'],
    ['qcow2 in xz', `${QCOW2} "$0" "$1.q"; xz -1 -c "$1.q" > "$1"`],
  ])('%s', async (what, script) => {
    const file = at(`${what.replaceAll(/\W/g, '-')}.img`)
    await sh(script, raw, file)
    expect((await importImage(store, { source: file, name: 'again' })).id).toBe(wanted)
    expect(await left()).toEqual([])
  })
  test('a qcow2 that only its owner may read', async () => {
    const file = at('private.qcow2')
    await sh('qemu-img convert -f raw -O qcow2 "$0" "$1"', raw, file)
    await chmod(file, 0o600)
    expect((await importImage(store, { source: file, name: 'private' })).id).toBe(wanted)
  })
})

describe('refused by name, with nothing left behind', () => {
  test.each([
    ['VMDK', 'qemu-img convert -f raw -O vmdk "$0" "$1"'],
    ['VMDK', 'qemu-img convert -f raw -O vmdk -o subformat=streamOptimized "$0" "$1"'],
    ['VHD', 'qemu-img convert -f raw -O vpc "$0" "$1"'],
    ['VHD', 'qemu-img convert -f raw -O vpc -o subformat=fixed,force_size "$0" "$1"'],
    ['VHDX', 'qemu-img convert -f raw -O vhdx "$0" "$1"'],
    ['VDI', 'qemu-img convert -f raw -O vdi "$0" "$1"'],
    ['VMDK', 'qemu-img convert -f raw -O vmdk "$0" "$1.v"; gzip -c "$1.v" > "$1"'],
    ['bzip2', 'printf BZh9 > "$1"; head -c 5000 "$0" >> "$1"'],
    ['ISO of a CD', 'head -c 65536 /dev/zero > "$1"; printf "\\001CD001" | dd of="$1" bs=1 seek=32768 conv=notrunc'],
    ['another compressed file', 'gzip -c "$0" | xz -1 -c > "$1"'],
    ['backing file', 'qemu-img create -q -f qcow2 -b "$0" -F raw "$1"'],
    ['backing file', 'qemu-img create -q -f qcow2 -b /etc/passwd -F raw "$1.q"; xz -c "$1.q" > "$1"'],
    ['another file', 'qemu-img create -q -f qcow2 -o data_file="$1.data",data_file_raw=on "$1" 1M'],
    ['gzip cannot read', 'gzip -c "$0" | head -c 100000 > "$1"'],
    ['xz cannot read', 'xz -1 -c "$0" | head -c 100000 > "$1"'],
    ['zstd cannot read', 'zstd -q -c "$0" | head -c 100000 > "$1"'],
  ])('%s (%s)', async (says, script) => {
    const file = at(`refused-${says.replaceAll(/\W/g, '-')}`)
    await sh(script, raw, file)
    expect(await ended(importImage(store, { source: file, name: 'x' }))).toMatch(
      new RegExp(`^image.format: .*${says}`, 's'),
    )
    expect(await left()).toEqual([])
  })
})

describe('that would not end', () => {
  const budget = () => new ImportBudget({ virtualSizeBytes: 16 * MIB }, systemClock)
  const BOMB = 'head -c 40000000 /dev/zero'
  test.each([
    ['a bomb of gzip', `${BOMB} | gzip -1 > "$1"`],
    ['a bomb of xz', `${BOMB} | xz -0 > "$1"`],
    ['a bomb of zstd', `${BOMB} | zstd -q > "$1"`],
    ['a qcow2 of a disk that is too big', 'qemu-img create -q -f qcow2 "$1" 100G'],
  ])('%s', async (what, script) => {
    const file = at(what.replaceAll(' ', '-'))
    await sh(script, raw, file)
    expect(await ended(importImage(store, { source: file, name: 'x' }, { budget: budget() }))).toMatch(
      /^image.format: .* once it is unpacked; limits.images.virtualSizeBytes/,
    )
    expect(await left()).toEqual([])
  })
  test('a URL that sends for ever, and one that says that it will', async () => {
    const server: Server = createServer((request, response) => {
      if (request.url === '/said') return response.writeHead(200, { 'content-length': 17 * MIB }).flushHeaders()
      const chunk = Buffer.alloc(MIB)
      const more = () => {
        while (!response.destroyed && response.write(chunk));
      }
      response.on('drain', more)
      more()
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    try {
      for (const path of ['said', 'ever'])
        expect(
          await ended(
            importImage(
              store,
              { source: `http://127.0.0.1:${(server.address() as AddressInfo).port}/${path}`, name: 'x' },
              { budget: budget() },
            ),
          ),
        ).toMatch(/^image.source: .* has more than 16\.8 MB/)
      expect(await left()).toEqual([])
    } finally {
      server.closeAllConnections()
      server.close()
    }
  })
})

describe('what opens them', () => {
  const confined = async (argv: readonly string[], mostBytes?: number) => {
    const file = await open(raw, 'r')
    try {
      return await runConfined(argv, { stdinFd: file.fd, signal: NEVER, timeoutMs: 60_000, mostBytes })
    } finally {
      await file.close()
    }
  }
  test('has no privileges, no environment, little memory, few files and no core', async () => {
    const status = await confined(['cat', '/proc/self/status'])
    expect(status).toMatch(/^NoNewPrivs:\s+1$/m)
    if (process.getuid?.() === 0) {
      expect(status).toMatch(/^Uid:\s+65534\s+65534\s+65534\s+65534$/m)
      expect(status).toMatch(/^Groups:\s*$/m)
      for (const set of ['Inh', 'Prm', 'Eff', 'Bnd']) expect(status).toMatch(new RegExp(`^Cap${set}:\\s+0+$`, 'm'))
    }
    const limits = await confined(['cat', '/proc/self/limits'])
    expect(limits).toMatch(/^Max address space\s+2147483648\s/m)
    expect(limits).toMatch(/^Max open files\s+64\s/m)
    expect(limits).toMatch(/^Max core file size\s+0\s/m)
    expect((await confined(['env'])).trim().split('\n').toSorted()).toEqual([
      'LC_ALL=C.UTF-8',
      'PATH=/usr/sbin:/usr/bin:/sbin:/bin',
    ])
  })
  // Root alone can give a process ambient capabilities, as systemd does. CI runs it as root.
  test.skipIf(process.getuid?.() !== 0)('has none of the capabilities that systemd gives to a service', async () => {
    const service = ['setpriv', `--reuid=${NOBODY}`, '--clear-groups', '--inh-caps=+net_admin']
    const argv = [...service, '--ambient-caps=+net_admin', '--', ...unprivileged(false), 'cat', '/proc/self/status']
    const status = await runOk(argv, { timeoutMs: 60_000 })
    for (const set of ['Inh', 'Prm', 'Eff', 'Amb']) expect(status).toMatch(new RegExp(`^Cap${set}:\\s+0+$`, 'm'))
  })
  test('ends where it writes too much, and when nobody waits any more', async () => {
    const out = await open(at('out'), 'w+')
    const input = await open(raw, 'r')
    const opts = { stdinFd: input.fd, stdoutFd: out.fd, timeoutMs: 60_000 }
    expect(await ended(runConfined(['cat'], { ...opts, mostBytes: 1000, signal: NEVER }))).toMatch(/^image.format: /)
    expect((await out.stat()).size).toBeLessThanOrEqual(1000)
    const abort = new AbortController()
    const sleeping = ended(runConfined(['sleep', '60'], { ...opts, signal: abort.signal }))
    abort.abort(new Error('nobody waits'))
    expect(await sleeping).toContain('nobody waits')
    await input.close()
    await out.close()
  })
})
