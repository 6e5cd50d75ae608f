/** Virtual media and UEFI HTTP boot through Redfish, over real sockets: found, inserted, proven, ejected; and what each
 *  fault of the field ends in. */
import { afterEach, expect, test } from 'vitest'
import { redfishInfo } from '../../conductor/bmc/redfish/info.ts'
import { Redfish } from '../../conductor/bmc/redfish/redfish.ts'
import { systemClock, type Clock } from '../../kit/clock.ts'
import { isFault } from '../../kit/fault.ts'
import type { FaultName } from './faults.ts'
import { VirtualBmc } from './virtual-bmc.ts'

const NAME = 'q'.repeat(43)
const URL_OF_ISO = `http://192.0.2.10:8080/media/${NAME}/boot.iso`
const CD = { url: URL_OF_ISO, kind: 'cd' } as const
const LIFE_MS = 20_000

/** What waits in production waits for nothing here, and its deadlines pass. */
function swift(): Clock {
  let nowMs = 0
  return {
    ...systemClock,
    now: () => nowMs,
    sleep: async (ms, signal) => {
      signal?.throwIfAborted()
      nowMs += ms
    },
  }
}

const opened: { close: () => unknown }[] = []
afterEach(async () => {
  await Promise.all(opened.splice(0).map(({ close }) => close()))
})

async function rig(...faults: readonly FaultName[]) {
  const bmc = await VirtualBmc.start(...faults)
  const client = new Redfish(redfishInfo(bmc.driverInfo()), swift())
  opened.push({
    close: async () => {
      await client.close()
      await bmc.stop()
    },
  })
  const insertions = () =>
    bmc.heard.filter(({ path }) => path.endsWith('.InsertMedia')).map(({ body }) => body as Record<string, unknown>)
  return { bmc, drives: bmc.families.media.drives, client, insertions, signal: AbortSignal.timeout(LIFE_MS) }
}

const faultOf = async (work: Promise<unknown>) => {
  const error: unknown = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  if (!isFault(error)) throw new Error(`no fault: ${String(error)}`)
  return error
}

test('an image is inserted with its URL alone, shown, and ejected', async () => {
  const { client, drives, insertions, signal } = await rig()
  await client.media.insert(CD, signal)
  expect(insertions()).toEqual([{ Image: URL_OF_ISO }])
  expect(await client.media.slots(signal)).toEqual([
    { id: 'CD1', kinds: ['cd', 'dvd'], inserted: true, image: URL_OF_ISO },
    { id: 'USB1', kinds: ['usb', 'floppy'], inserted: false, image: null },
  ])
  await client.media.eject('cd', signal)
  await client.media.eject('cd', signal)
  expect(drives.get('CD1')).toMatchObject({ inserted: false, image: null })
})

test('ejection of one kind leaves the others', async () => {
  const { client, bmc, drives, signal } = await rig()
  bmc.families.media.put('USB1', 'http://192.0.2.1/stick.img')
  await client.media.insert(CD, signal)
  await client.media.eject('cd', signal)
  expect(drives.get('USB1')?.inserted).toBe(true)
  await client.media.eject(null, signal)
  expect(drives.get('USB1')?.inserted).toBe(false)
})

test('a drive that says it holds our image is emptied and gets it anew', async () => {
  const { client, bmc, signal } = await rig()
  bmc.families.media.put('CD1', URL_OF_ISO)
  await client.media.insert(CD, signal)
  expect(bmc.families.media.acts.map((act) => act.split(' ')[0])).toEqual(['insert', 'eject', 'insert'])
})

test('an empty drive is taken before one that is in use', async () => {
  const { client, bmc, drives, signal } = await rig()
  drives.set('CD2', { types: ['CD'], image: null, inserted: false })
  bmc.families.media.put('CD1', 'http://192.0.2.1/other.iso')
  await client.media.insert(CD, signal)
  expect(drives.get('CD2')?.image).toBe(URL_OF_ISO)
  expect(drives.get('CD1')?.image).toBe('http://192.0.2.1/other.iso')
})

test('the body grows by what the BMC says is missing', async () => {
  const { client, insertions, signal } = await rig('an insertion needs the protocol, and then credentials')
  await client.media.insert(CD, signal)
  expect(insertions()).toEqual([
    { Image: URL_OF_ISO },
    { Image: URL_OF_ISO, TransferProtocolType: 'HTTP' },
    { Image: URL_OF_ISO, TransferProtocolType: 'HTTP', UserName: 'none' },
    { Image: URL_OF_ISO, TransferProtocolType: 'HTTP', UserName: 'none', Password: 'none' },
  ])
})

test('what only the text of an error names is added too, with the protocol of the URL', async () => {
  const { client, insertions, signal } = await rig('an insertion needs what only the text of the error names')
  const url = URL_OF_ISO.replace('http:', 'https:')
  await client.media.insert({ url, kind: 'cd' }, signal)
  expect(insertions().at(-1)).toEqual({ Image: url, TransferProtocolType: 'HTTPS' })
})

test.each(['a drive has no insertion (405)', 'a drive is for a virtual console alone (400)'] as const)(
  '%s: the next drive is taken',
  async (fault) => {
    const { client, drives, signal } = await rig(fault)
    await client.media.insert(CD, signal)
    expect(drives.get('CD2')?.image).toBe(URL_OF_ISO)
  },
)

test.each(['virtual media belongs to the manager', 'drives have no actions'] as const)(
  '%s: inserted and ejected all the same',
  async (fault) => {
    const { client, drives, signal } = await rig(fault)
    await client.media.insert(CD, signal)
    expect(drives.get('CD1')).toMatchObject({ inserted: true, image: URL_OF_ISO })
    await client.media.eject(null, signal)
    expect(drives.get('CD1')).toMatchObject({ inserted: false, image: null })
  },
)

test.each([
  ['an insertion is accepted and ignored', 'bmc.media', 'shows no medium in it'],
  ['the medium is never connected', 'bmc.media', 'shows no medium in it'],
  ['virtual media needs a licence', 'bmc.licence', 'LicenseRequired'],
  ['there is no virtual media', 'node.unsupported', 'offers no virtual media'],
] as const)('%s: %s', async (fault, code, words) => {
  const { client, signal } = await rig(fault)
  const found = await faultOf(client.media.insert(CD, signal))
  expect(found).toMatchObject({ code, detail: expect.stringContaining(words) as string })
})

test('a medium that stays in its drive is a fault, and nothing else is inserted over it', async () => {
  const { client, bmc, insertions, signal } = await rig('an ejection is accepted and ignored')
  bmc.families.media.put('CD1', 'http://192.0.2.1/other.iso')
  expect(await faultOf(client.media.insert(CD, signal))).toMatchObject({ code: 'bmc.media' })
  expect(insertions()).toEqual([])
})

test('the URL, which gives away a boot, is in no error', async () => {
  const { client, signal } = await rig('an insertion is refused with the URL in the text')
  const { message } = await faultOf(client.media.insert(CD, signal))
  expect(message).toContain('Cannot mount (the image) now')
  expect(message).not.toContain(NAME.slice(0, 10))
})

test('UEFI HTTP boot is set for one start, with its URL, and read back', async () => {
  const { client, bmc, signal } = await rig()
  bmc.system.boot.BootSourceOverrideMode = 'Legacy'
  await client.httpBoot.bootOnce(URL_OF_ISO, signal)
  expect(bmc.machine.next).toEqual({ target: 'UefiHttp', mode: 'UEFI', httpUri: URL_OF_ISO })
})

test('UEFI HTTP boot that the BMC forgets, or does not offer, is a fault', async () => {
  const ignored = await rig('the override is accepted and ignored')
  expect(await faultOf(ignored.client.httpBoot.bootOnce(URL_OF_ISO, ignored.signal))).toMatchObject({
    code: 'bmc.unproven',
  })
  const without = await rig('the virtual drive is UsbCd')
  expect(await faultOf(without.client.httpBoot.bootOnce(URL_OF_ISO, without.signal))).toMatchObject({
    code: 'node.unsupported',
  })
})
