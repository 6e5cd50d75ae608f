/** `rackward boot --room`: a boot room, which serves the network boot of one rack for conductors elsewhere. */
import { chmod, mkdir } from 'node:fs/promises'
import { isIPv4 } from 'node:net'
import { join } from 'node:path'
import * as z from 'zod/mini'
import { BootRoom } from '../conductor/boot/rooms/room.ts'
import { warmUp } from '../conductor/boot/warm-up.ts'
import type { Bundle } from '../conductor/boot/rooms/records.ts'
import { readPrivateFile } from '../kit/files.ts'
import { systemClock } from '../kit/clock.ts'
import { parsedOr } from '../kit/json.ts'
import { makeLog } from '../kit/log.ts'
import { systemRandom } from '../kit/random.ts'
import { CliError } from './error.ts'
import { quietSockopt, serve } from './daemon.ts'
import { listenRoomStatus } from './room-status.ts'

export interface RoomOptions {
  readonly room: string
  readonly conductor?: string[]
  readonly bundle?: string
  readonly data: string
  readonly interface?: string[]
  readonly httpPort: string
  readonly loaders: string
  readonly cacheGib: string
  readonly status?: string
}

const GIB = 1024 ** 3

const BundleFile = z.object({
  room: z.string(),
  pins: z.array(z.string().check(z.regex(/^[0-9a-f]{64}$/))).check(z.minLength(1)),
  cert: z.string(),
  key: z.string(),
  expiresAt: z.string(),
})

export async function runRoom(options: RoomOptions): Promise<void> {
  quietSockopt()
  process.umask(0o077)
  const log = makeLog('boot-room', { level: 'info' })
  const bundle = await readBundle(options.bundle ?? join(options.data, 'room.json'), options.room)
  await mkdir(options.data, { recursive: true, mode: 0o700 })
  await chmod(options.data, 0o700)
  const interfaces = (options.interface ?? []).map(interfaceOf)
  const [first] = interfaces
  if (!first) throw new CliError('usage', '--interface: name the network that the nodes boot from, as eno1=192.0.2.2')
  const conductors = (options.conductor ?? []).map(urlOf)
  if (conductors.length === 0)
    throw new CliError('usage', '--conductor: name where a conductor listens for boot rooms, as https://192.0.2.1:6387')
  const room = new BootRoom({
    bundle,
    conductors,
    data: options.data,
    interfaces,
    address: first.address,
    httpPort: portOf(options.httpPort),
    loaders: options.loaders,
    cacheBytes: gibOf(options.cacheGib) * GIB,
    clock: systemClock,
    random: systemRandom,
    log,
  })
  await warmUp(systemClock)
  await room.start()
  const status = options.status === undefined ? undefined : await listenRoomStatus(room, options.status)
  const stop = async (): Promise<void> => {
    status?.close()
    await room.stop()
  }
  await serve({ status: `boot room ${bundle.room}`, stop, alive: async () => true, log })
}

async function readBundle(path: string, room: string): Promise<Bundle> {
  const text = await readPrivateFile(path, 'config.invalid')
  const bundle = BundleFile.safeParse(parsedOr(text, undefined))
  if (!bundle.success)
    throw new CliError('usage', `${path} is no bundle of a boot room: write one with rackward room add`)
  if (bundle.data.room !== room)
    throw new CliError('usage', `${path} is the bundle of the boot room ${bundle.data.room}, and not of ${room}`)
  return bundle.data
}

function urlOf(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url?.protocol !== 'https:')
    throw new CliError('usage', `--conductor ${text}: is no URL such as https://192.0.2.1:6387`)
  return url
}

function interfaceOf(text: string): { name: string; address: string } {
  const [, name, address] = /^([A-Za-z0-9_.-]{1,15})=(.+)$/.exec(text) ?? []
  if (name === undefined || address === undefined || !isIPv4(address))
    throw new CliError('usage', `--interface ${text}: is no interface and its address, such as eno1=192.0.2.2`)
  return { name, address }
}

function gibOf(text: string): number {
  const gib = /^\d{1,5}$/.test(text) ? Number(text) : 0
  if (gib < 1) throw new CliError('usage', `--cache-gib ${text}: is no size of at least 1 GiB`)
  return gib
}

function portOf(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0
  if (port < 1 || port > 65_535) throw new CliError('usage', `--http-port ${text}: is no port from 1 to 65535`)
  return port
}
