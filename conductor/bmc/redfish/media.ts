/** Virtual media through Redfish: the drives of the system, else of its manager; insert with the body that the BMC asks
 *  for by its errors; read back. A 2xx proves nothing, and neither does a drive that says it holds our image
 *  already. */
import type { Clock } from '../../../kit/clock.ts'
import { asFault, Fault, isFault } from '../../../kit/fault.ts'
import type { Media, MediaSlot } from '../parts/media.ts'
import { linkOf, type Dict, type RedfishClient, type Resource } from './client.ts'
import { actionOf, isOfResource, lastOf, memberPaths } from './links.ts'
import { managersOf } from './manager.ts'
import { codeOf, faultOf, says, type Refusal } from './messages.ts'
import { readSystem } from './system.ts'

/** Runs work with the path of the system. */
type MediaAt = <T>(
  signal: AbortSignal,
  work: (parts: { readonly client: RedfishClient; readonly clock: Clock; readonly path: string }) => Promise<T>,
) => Promise<T>

type MediaKind = 'cd' | 'usb' | 'floppy'

interface Drive extends MediaSlot {
  readonly resource: Resource
  /** Where the BMC has such an action. */
  readonly insertTarget: string | null
  readonly ejectTarget: string | null
  readonly connected: boolean
}

interface MediaParts {
  readonly client: RedfishClient
  readonly clock: Clock
  readonly signal: AbortSignal
}

const MAX_DRIVES = 16
/** Some show the medium only after they have tried the URL; Lenovo shows the image first and "inserted" later. */
const SHOWN_MS = 20_000
const LOOK_MS = 500

export function redfishMedia(at: MediaAt): Media {
  return {
    slots: (signal) =>
      at(signal, async (parts) =>
        (await drivesOf({ ...parts, signal }, parts.path)).map(({ id, kinds, inserted, image }) => ({
          id,
          kinds,
          inserted,
          image,
        })),
      ),
    insert: ({ url, kind }, signal) =>
      at(signal, (parts) => insert({ ...parts, signal }, { url, kind, path: parts.path })).catch((error: unknown) => {
        throw veiled(error, url)
      }),
    eject: (kind, signal) =>
      at(signal, async ({ client, clock, path }) => {
        for (const drive of await drivesOf({ client, clock, signal }, path))
          if (kind === null || takes(drive, kind)) await eject({ client, clock, signal }, drive)
      }),
  }
}

/** Whoever reads an error may not know the URL: it gives away the boot token. BMCs repeat it in their messages. */
function veiled(error: unknown, url: string): Fault {
  const fault = asFault(error, 'bmc.media')
  const text = fault.detail.replaceAll(url, '(the image)').replaceAll(/\/media\/[A-Za-z0-9_-]{6,43}/g, '/media/***')
  return new Fault(fault.code, text)
}

const takes = ({ kinds }: Drive, kind: MediaKind): boolean =>
  kind === 'cd' ? kinds.includes('cd') || kinds.includes('dvd') : kinds.includes(kind)

async function insert(
  parts: MediaParts,
  { url, kind, path }: { url: string; kind: MediaKind; path: string },
): Promise<void> {
  const drives = (await drivesOf(parts, path)).filter((drive) => takes(drive, kind))
  const inOrder = [...drives.filter((drive) => !isTaken(drive)), ...drives.filter(isTaken)]
  if (inOrder.length === 0)
    throw new Fault('node.unsupported', `the BMC has no virtual drive for ${kind.toUpperCase()}`)
  let last: Fault | undefined
  for (const drive of inOrder) {
    // It may hold the right URL and have lost the medium.
    await eject(parts, drive)
    const refusal = await sendInsert(parts, drive, url)
    if (!refusal) {
      if (await shows(parts, drive, (now) => now.inserted && now.connected)) return
      last = new Fault('bmc.media', `the BMC took the image for its drive ${drive.id} and shows no medium in it`)
    } else last = faultOf(refusal, `insertion into ${drive.resource.path}`)
    // The next drive has the same licence, and the same password.
    if (refusal && !isOfDrive(refusal)) throw last
  }
  throw last ?? new Fault('bmc.media', 'no drive took the image')
}

const isTaken = ({ inserted, image }: Drive): boolean => inserted || image !== null

/** The drive has no such action, or is one for uploads or for a console alone. */
const isOfDrive = (refusal: Refusal): boolean =>
  ['bmc.refused', 'bmc.path', 'bmc.conflict'].includes(codeOf(refusal)) && refusal.status < 500

/** What a BMC may say that it misses. */
const supplyOf = (url: string): Dict => ({
  TransferProtocolType: url.startsWith('https:') ? 'HTTPS' : 'HTTP',
  TransferMethod: 'Stream',
  // NVIDIA DGX asks for credentials of a server that wants none.
  UserName: 'none',
  Password: 'none',
  Inserted: true,
  WriteProtected: true,
})
const ROUNDS = 4
const UNKNOWN = ['PropertyUnknown', 'PropertyNotWritable', 'ActionParameterUnknown', 'ActionParameterNotSupported']

/** At first the URL alone; then with what the error names as missing, and without what it names as unknown. */
async function sendInsert({ client, signal }: MediaParts, drive: Drive, url: string): Promise<Refusal | undefined> {
  const { insertTarget, resource } = drive
  const supply = supplyOf(url)
  let body: Dict = insertTarget === null ? { Image: url, Inserted: true } : { Image: url }
  for (let round = 1; ; round += 1) {
    const refusal =
      insertTarget === null
        ? await client.patch(await client.get(resource.path, signal), body, signal)
        : await client.post(insertTarget, body, signal)
    if (!refusal || round >= ROUNDS) return refusal
    const named = namedIn(refusal, Object.keys(supply))
    const grown = says(refusal, ...UNKNOWN)
      ? Object.fromEntries(Object.entries(body).filter(([key]) => !named.includes(key)))
      : { ...body, ...Object.fromEntries(named.map((key) => [key, supply[key]])) }
    if (Object.keys(grown).length === Object.keys(body).length) return refusal
    body = grown
  }
}

const namedIn = ({ messages }: Refusal, names: readonly string[]): string[] =>
  names.filter((name) =>
    messages.some(({ args, text }) => args.some((arg) => arg.includes(name)) || hasWord(text, name)),
  )

const hasWord = (text: string, word: string): boolean => text.split(/[^A-Za-z]+/).includes(word)

/** Does nothing to an empty drive. Throws `bmc.media` when the medium stays. */
async function eject(parts: MediaParts, drive: Drive): Promise<void> {
  if (!isTaken(drive)) return
  const { client, signal } = parts
  const refusal =
    drive.ejectTarget === null
      ? await client.patch(await client.get(drive.resource.path, signal), { Image: null, Inserted: false }, signal)
      : await client.post(drive.ejectTarget, {}, signal)
  if (await shows(parts, drive, (now) => !now.inserted)) return
  throw refusal
    ? faultOf(refusal, `ejection from ${drive.resource.path}`)
    : new Fault('bmc.media', `the BMC took the ejection from its drive ${drive.id} and still shows a medium in it`)
}

/** Whether a drive comes to show something within a while. */
async function shows(
  { client, clock, signal }: MediaParts,
  { resource }: Drive,
  wanted: (now: Drive) => boolean,
): Promise<boolean> {
  const endMs = clock.now() + SHOWN_MS
  for (;;) {
    const now = driveOf(await client.get(resource.path, signal))
    if (wanted(now)) return true
    if (clock.now() + LOOK_MS >= endMs) return false
    await clock.sleep(LOOK_MS, signal)
  }
}

/** Of the system where it has any, else of its manager. Throws `node.unsupported` when there are none. */
async function drivesOf({ client, signal }: MediaParts, path: string): Promise<readonly Drive[]> {
  const system = await readSystem(client, path, signal)
  const ofSystem = await collection(client, linkOf(system.body.VirtualMedia), signal)
  if (ofSystem.some(({ kinds }) => kinds.length > 0)) return ofSystem
  for (const manager of await managersOf(client, system, signal)) {
    const { body } = await client.get(manager, signal)
    const ofManager = await collection(client, linkOf(body.VirtualMedia), signal)
    if (ofManager.length > 0) return ofManager
  }
  throw new Fault('node.unsupported', 'the BMC offers no virtual media, neither of the system nor of its manager')
}

async function collection(client: RedfishClient, path: string | null, signal: AbortSignal): Promise<readonly Drive[]> {
  if (path === null) return []
  const links = await memberPaths(client.reader(signal), path, MAX_DRIVES).catch((error: unknown) => {
    if (isFault(error, 'bmc.path')) return []
    throw error
  })
  const drives: Drive[] = []
  for (const link of links) {
    // One that cannot be read, such as a drive of a console, is not used.
    const drive = await client.get(link, signal).catch((error: unknown) => {
      if (!isOfResource(error)) throw error
    })
    if (drive) drives.push(driveOf(drive))
  }
  return drives
}

const KINDS = { CD: 'cd', DVD: 'dvd', Floppy: 'floppy', USBStick: 'usb' } as const

function driveOf(resource: Resource): Drive {
  const { body, path } = resource
  const types = Array.isArray(body.MediaTypes) ? body.MediaTypes : []
  return {
    resource,
    id: typeof body.Id === 'string' ? body.Id : lastOf(path),
    kinds: types.flatMap((type) => (Object.hasOwn(KINDS, String(type)) ? [KINDS[type as keyof typeof KINDS]] : [])),
    inserted: body.Inserted === true,
    image: typeof body.Image === 'string' && body.Image !== '' ? body.Image : null,
    insertTarget: actionOf(body, '#VirtualMedia.InsertMedia')?.target ?? null,
    ejectTarget: actionOf(body, '#VirtualMedia.EjectMedia')?.target ?? null,
    connected: body.ConnectedVia !== 'NotConnected',
  }
}
