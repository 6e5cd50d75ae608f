/** Firmware that is sent to BMCs which fetch none: as multipart, as it is, checked before, read back, never whole in
 *  memory, and not twice. */
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { expect, test } from 'vitest'
import { RedfishClient } from '../../conductor/bmc/redfish/client.ts'
import { redfishInfo } from '../../conductor/bmc/redfish/info.ts'
import { orderUpdate } from '../../conductor/bmc/redfish/firmware-order.ts'
import { formUpload } from '../../conductor/bmc/redfish/uploads.ts'
import { FirmwareFiles } from '../../conductor/firmware/files.ts'
import { until } from '../../kit/clock.ts'
import type { FaultName } from './faults.ts'
import { firmwareBench } from './firmware-rig.ts'
import { VirtualBmc } from './virtual-bmc.ts'

const { open, update } = firmwareBench()
const BIOS = { component: 'bios', file: '/bios.bin?token=vendor-secret' }
const BMC = { component: 'bmc', file: '/bmc.bin' }
const TARGET = '/redfish/v1/UpdateService/FirmwareInventory/BIOS'

const WAYS: readonly (readonly [fault: FaultName, way: string])[] = [
  ['the BMC fetches no firmware', 'multipart'],
  ['the BMC fetches firmware by TFTP alone', 'multipart'],
  ['the BMC lists SimpleUpdate and does not carry it out', 'multipart'],
  ['the BMC takes firmware as it is', 'push'],
  ['the BMC lists a multipart push and does not take it', 'push'],
]
test.concurrent.each(WAYS)(
  '%s: the file is pushed once with its target, and its version read back',
  async (fault, way) => {
    const { bmc, cleaned } = await open([fault])
    expect(await cleaned(update(BIOS))).toMatchObject({ provision_state: 'manageable', last_error: null })
    const { pushed, fetched, versions } = bmc.families.updates
    expect([pushed, fetched, versions.BIOS]).toEqual([[{ way, file: 'BIOS 2.2.0', targets: [TARGET] }], [], '2.2.0'])
    expect(bmc.machine.starts).toHaveLength(1)
    // What was written for this push is taken back.
    expect(JSON.stringify(bmc.tree.find('/redfish/v1/UpdateService')?.body)).not.toContain(
      '"HttpPushUriTargetsBusy":true',
    )
  },
)

test.concurrent('BMC and BIOS are pushed one after the other, and the BMC restarts in between', async () => {
  const { bmc, cleaned } = await open(['the BMC fetches no firmware'], { bmc: { restartMs: 1_000 } })
  expect(await cleaned(update(BMC, BIOS))).toMatchObject({ provision_state: 'manageable', last_error: null })
  expect(bmc.families.updates.pushed.map(({ file }) => file)).toEqual(['BMC 1.1.0', 'BIOS 2.2.0'])
  expect([bmc.families.managers.firmwareVersion, bmc.families.updates.versions.BIOS]).toEqual(['1.1.0', '2.2.0'])
})

test.concurrent('a file that the BMC says it does not take is not sent', async () => {
  const { bmc, cleaned } = await open(['firmware files may have eight bytes'])
  expect(await cleaned(update(BIOS))).toMatchObject({
    provision_state: 'clean failed',
    last_error: expect.stringMatching(/at most 8 bytes/),
  })
  expect(bmc.families.updates.pushed).toEqual([])
})

const HELD = { url: 'http://192.0.2.1/bios.bin', target: TARGET, former: null }
const small = (open = () => Readable.from([Buffer.from('BIOS 2.2.0')])) => ({ name: 'bios.bin', sizeBytes: 10, open })

test.each(['the task', 'its monitor', 'a monitor below it'])(
  'a push whose answer was lost is found again by its task, and not taken for the next one, which knows %s',
  async (known) => {
    const bmc = await VirtualBmc.start('the BMC fetches no firmware')
    const client = new RedfishClient(redfishInfo(bmc.driverInfo()))
    const signal = AbortSignal.timeout(20_000)
    bmc.families.updates.held = new Promise(() => undefined)
    const order = { ...HELD, file: small() }
    const task = String(await orderUpdate(client, order, signal))
    expect(await orderUpdate(client, order, signal)).toBe(task)
    expect(bmc.families.updates.pushed).toHaveLength(1)
    // The task of the update before is not taken for this one.
    const monitor = task.replace('/Tasks/', '/TaskMonitors/')
    const former = { 'the task': task, 'its monitor': monitor }[known] ?? `${task}/Monitor`
    expect(await orderUpdate(client, { ...order, former }, signal)).not.toBe(task)
    expect(bmc.families.updates.pushed).toHaveLength(2)
    await client.close(signal)
    await bmc.stop()
  },
)

test('a push that was ended in the middle is begun again, although the BMC is still marked as busy with it', async () => {
  const bmc = await VirtualBmc.start('the BMC takes firmware as it is')
  const client = new RedfishClient(redfishInfo(bmc.driverInfo()))
  const signal = AbortSignal.timeout(20_000)
  const urgent = new AbortController()
  let isOpen = false
  const silent = small(() => {
    isOpen = true
    return new Readable({ read: () => undefined })
  })
  const ended = orderUpdate(client, { ...HELD, file: silent }, urgent.signal).catch((why: unknown) => why)
  await until(async () => isOpen, { what: 'the push', timeoutMs: 20_000 })
  const why = new Error('a fence came')
  urgent.abort(why)
  expect(await ended).toBe(why)
  const service = async () => (await client.get('/redfish/v1/UpdateService', signal)).body
  expect(await service()).toMatchObject({ HttpPushUriTargetsBusy: true, HttpPushUriTargets: [TARGET] })

  // That of another target is of somebody else.
  const other = orderUpdate(client, { ...HELD, target: `${TARGET}2`, file: small() }, signal)
  await expect(other).rejects.toMatchObject({ code: 'bmc.unready' })
  await orderUpdate(client, { ...HELD, file: small() }, signal)
  expect(bmc.families.updates.pushed).toEqual([{ way: 'push', file: 'BIOS 2.2.0', targets: [TARGET] }])
  expect(await service()).toMatchObject({ HttpPushUriTargetsBusy: false })
  await client.close(signal)
  await bmc.stop()
})

test('a form that is given up before it is sent has opened no file', async () => {
  let opened = 0
  const file = small(() => {
    opened += 1
    return Readable.from([])
  })
  const body = formUpload({ field: 'file', file }).open()
  await new Promise((resolve) => body.once('close', resolve).destroy())
  expect(opened).toBe(0)
})

const MIB = 1024 * 1024
/** A BMC that takes a push only when it is told to. */
async function slowBmc() {
  let go: () => void = () => undefined
  const held = new Promise<void>((resolve) => (go = resolve))
  const digest = createHash('sha256')
  const seen = { lengths: [] as unknown[], bytes: 0 }
  const server = createServer((request, response) => {
    if (request.method === 'GET') {
      const root = { RedfishVersion: '1.18.0', UpdateService: { '@odata.id': '/redfish/v1/UpdateService' } }
      const body = request.url === '/redfish/v1/' ? root : { HttpPushUri: '/push' }
      return void response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    }
    void take(request).then(() => response.writeHead(202).end())
  })
  const take = async (request: IncomingMessage) => {
    seen.lengths.push(request.headers['content-length'], request.headers['transfer-encoding'])
    await held
    for await (const chunk of request as AsyncIterable<Buffer>) {
      seen.bytes += chunk.length
      digest.update(chunk)
    }
  }
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return { server, go, seen, digest, address: `http://127.0.0.1:${port}` }
}

test('a file is read no faster than the BMC takes it, and arrives whole, with its length', async () => {
  const { server, go, seen, digest, address } = await slowBmc()
  const chunk = Buffer.alloc(64 * 1024, 'f')
  const chunks = (128 * MIB) / chunk.length
  let readBytes = 0
  function* source() {
    for (let i = 0; i < chunks; i += 1) {
      readBytes += chunk.length
      yield chunk
    }
  }
  const info = { redfish_address: address, redfish_username: 'u', redfish_password: 'p', redfish_auth_type: 'basic' }
  const client = new RedfishClient(redfishInfo(info))
  const file = { name: 'big.bin', sizeBytes: 128 * MIB, open: () => Readable.from(source(), { objectMode: false }) }
  const order = { url: 'http://192.0.2.1/', file, target: null, former: null }
  const ended = orderUpdate(client, order, AbortSignal.timeout(60_000))
  await until(async () => readBytes > 0, { what: 'the first bytes', timeoutMs: 20_000 })
  let before = -1
  await until(async () => before === (before = readBytes), {
    what: 'the reading to stop',
    timeoutMs: 20_000,
    everyMs: 300,
  })
  // What the kernel buffers on both sides.
  expect(readBytes).toBeLessThan(32 * MIB)
  go()
  await ended
  expect([seen.bytes, seen.lengths]).toEqual([128 * MIB, [String(128 * MIB), undefined]])
  const whole = createHash('sha256')
  for (let i = 0; i < chunks; i += 1) whole.update(chunk)
  expect(digest.digest('hex')).toBe(whole.digest('hex'))
  await client.close(AbortSignal.timeout(5_000))
  server.closeAllConnections()
  server.close()
})

test('a push that something more urgent ends is over at once, and leaves nothing open', async () => {
  const { server, seen, address } = await slowBmc()
  const info = { redfish_address: address, redfish_username: 'u', redfish_password: 'p', redfish_auth_type: 'basic' }
  const client = new RedfishClient(redfishInfo(info))
  let opened: Readable | undefined
  const file = {
    name: 'big.bin',
    sizeBytes: 256 * MIB,
    open: () => (opened = Readable.from(Array.from({ length: 4096 }, () => Buffer.alloc(64 * 1024)))),
  }
  const urgent = new AbortController()
  const ended = orderUpdate(client, { url: '', file, target: null, former: null }, urgent.signal).catch(
    (why: unknown) => why,
  )
  await until(async () => seen.lengths.length > 0, { what: 'the push', timeoutMs: 20_000 })
  const why = new Error('a fence came')
  urgent.abort(why)
  expect(await ended).toBe(why)
  await until(async () => opened?.destroyed, { what: 'the file to be closed', timeoutMs: 20_000 })
  await client.close(AbortSignal.timeout(5_000))
  server.closeAllConnections()
  server.close()
})

test('a file that has changed since it was checked is sent to nobody', async () => {
  const root = await mkdtemp(join(tmpdir(), 'rackward-firmware-'))
  const id = `sha256-${createHash('sha256').update('good').digest('hex')}`
  const files = new FirmwareFiles({ storeRoot: root } as never)
  const read = () => files.read({ id, name: 'f.bin' }, AbortSignal.timeout(10_000))
  await mkdir(join(root, 'boot'))
  await writeFile(join(root, 'boot', id), 'good')
  expect(await read()).toMatchObject({ name: 'f.bin', sizeBytes: 4 })
  await writeFile(join(root, 'boot', id), 'evil')
  await expect(read()).rejects.toMatchObject({ code: 'image.checksum' })
  await rm(root, { recursive: true, force: true })
})
