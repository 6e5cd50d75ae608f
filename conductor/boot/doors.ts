/** The sockets that servers are booted through, and what each of them answers a known client. */
import { readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { Clock } from '../../kit/clock.ts'
import type { Lifecycle } from '../../kit/lifecycle.ts'
import type { Log } from '../../kit/log.ts'
import type { LeaseBook } from '../../pxe/dhcp/leases.ts'
import { AUTOEXEC, isGrubConfig, LOADERS, OPTIONAL_LOADERS, UKI_LOADER } from '../../pxe/firmware.ts'
import { GRUB_EXIT, renderGrub, renderGrubStart } from '../../pxe/grub.ts'
import { renderAutoexec, renderScript, type BootOrder } from '../../pxe/script.ts'
import { TftpServer } from '../../pxe/tftp/server.ts'
import { turnText, type Admission } from './admission.ts'
import type { ScriptLoader } from './boot-target.ts'
import type { BootClients } from './clients.ts'
import type { BootCounters } from './counters.ts'
import { dhcpServer } from './dhcp-door.ts'
import { bootHttpLimits, type BootFiles } from './http.ts'
import { startHttps } from './https-door.ts'
import type { BootLoaders } from './loaders.ts'
import type { BootMedia } from './media.ts'
import { ramdiskPartOf, type Observer } from './observe.ts'
import type { BootClient } from './orders.ts'
import { bootUrl, ramdiskOrder, scriptUrl, type Scheme } from './ramdisk-order.ts'
import { chooseRamdisk } from './ramdisks.ts'
import { instanceArgs, kernelArgs, servedFile, servedFiles, type ServiceConfig } from './render.ts'
import type { CachedFiles } from './rooms/serve-cached.ts'
import { HttpDoor, type LaunchFiles } from './serving/door.ts'

export interface ServiceParts {
  readonly config: ServiceConfig
  /** SHA-256 of the agent port's certificate, for the ramdisk to pin. */
  readonly pin: string
  readonly tokenKey: Buffer
  /** The boot room that this is; absent: the boot services of a conductor. */
  readonly room?: string | undefined
  readonly clock: Clock
  readonly log: Log
  /** Starts the process that sends files; absent: they are sent by this one. */
  readonly launchFiles?: LaunchFiles | undefined
  /** Of a boot room: files come from its cache. */
  readonly cached?: CachedFiles | undefined
  /** Called when it ends by itself. */
  readonly onEnd: () => void
}

export interface Doors extends Omit<ServiceParts, 'onEnd'> {
  readonly life: Lifecycle
  readonly clients: BootClients
  readonly media: BootMedia
  readonly admission: Admission
  readonly leases: LeaseBook
  readonly loaders: ReadonlyMap<string, Buffer>
  readonly paths: BootLoaders
  readonly observer: Observer
  readonly counters: BootCounters
}

export async function readLoaders(dir: string, uki?: string): Promise<Map<string, Buffer>> {
  const loaders = new Map<string, Buffer>()
  if (uki !== undefined) loaders.set(UKI_LOADER, await readFile(uki))
  for (const name of LOADERS) loaders.set(name, await readFile(join(dir, name)))
  for (const name of OPTIONAL_LOADERS) {
    const bytes = await readFile(join(dir, name)).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined
      throw error
    })
    // An empty file is a copy that failed.
    if (bytes && bytes.length > 0) loaders.set(name, bytes)
  }
  return loaders
}

export async function startDhcp(doors: Doors): Promise<void> {
  const dhcp = dhcpServer(doors)
  await doors.life.add(
    'dhcp',
    async () => {
      for (const at of doors.config.boot.interfaces) await dhcp.listen({ interface: at.name, localIp: at.address })
    },
    () => dhcp.stop(),
  )
}

export async function startTftp(doors: Doors): Promise<void> {
  const { config, clock, life, loaders, observer } = doors
  const { tftpTransfers, tftpTransfersPerAddress, tftpTimeoutSeconds } = config.limits.boot
  const tftp = new TftpServer({
    owner: {
      file: (name, toIp) => {
        observer.onTftpAsked(name, toIp)
        return (
          loaders.get(name) ??
          (basename(name) === AUTOEXEC ? autoexecFor(doors, toIp) : undefined) ??
          (isGrubConfig(name) ? grubStartFor(doors, toIp) : undefined)
        )
      },
      event: (event) => observer.onTftp(event),
    },
    clock,
    limits: {
      transfers: tftpTransfers,
      transfersPerAddress: tftpTransfersPerAddress,
      maxTimeoutMs: tftpTimeoutSeconds * 1000,
    },
  })
  await life.add(
    'tftp',
    () => tftp.listen({ ip: config.boot.tftp }),
    () => tftp.stop(),
  )
}

/** No two scripts carry the same token, by whatever way they are asked for. */
const minted = new WeakMap<Doors, number>()

/** What is answered to those who ask by HTTP, or by HTTPS. */
function bootFiles(doors: Doors, scheme: Scheme): BootFiles {
  const { config, observer, clock } = doors
  return {
    script: ({ mac, loader }, ip) => {
      const mintedMs = Math.max(clock.now(), (minted.get(doors) ?? 0) + 1)
      minted.set(doors, mintedMs)
      return scriptFor(doors, { mac, loader }, { ip, mintedMs, scheme })
    },
    autoexec: (ip) => autoexecFor(doors, ip, scheme),
    grubStart: (ip) => grubStartFor(doors, ip),
    file: (path) => servedFile(path, config),
    cached: doors.cached,
    media: doors.media,
    fetched: (path, ip) => observer.onFetched(path, ip),
    said: (what, ip) => observer.onAgentSaid(what, ip),
    refused: (path, ip, why) => observer.onHttpRefused(path, ip, why),
    sending: (path, ip) => {
      const part = ramdiskPartOf(path)
      const client = part && clientAt(doors, ip)
      if (!client) return () => undefined
      const key = placeKey(client)
      doors.admission.began(key)
      observer.onHttpAsked(path, ip)
      return (end) => {
        doors.admission.ended(key, end.whole && part !== 'kernel', clock.now())
        if (!end.whole) observer.onHttpLost(path, ip, end)
      }
    },
    answered: (status, whole) => observer.onAnswered(status, whole),
    broke: (ip, error) => observer.onHttpFault(ip, error),
  }
}

export async function startHttp(doors: Doors): Promise<void> {
  const { config, life, clock } = doors
  const door = new HttpDoor({
    at: { port: config.boot.http.port, host: config.boot.http.address },
    files: bootFiles(doors, 'http'),
    limits: await bootHttpLimits(doors),
    served: servedFiles(config),
    launch: doors.launchFiles,
    onDropped: () => doors.counters.limit('boot.queuedEvents'),
    clock,
    log: doors.log,
  })
  await life.add(
    'http',
    () => door.start(),
    () => door.stop(),
  )
  await startHttps(doors, bootFiles(doors, 'https'))
}

/** Sends the client that has this address on to its script. Undefined: nobody known has it. */
function autoexecFor(doors: Doors, ip: string, scheme: Scheme = 'http'): Buffer | undefined {
  const client = clientAt(doors, ip)
  return client && Buffer.from(renderAutoexec(scriptUrl(doors.config.boot, client.mac, { scheme })))
}

/** The same for GRUB. */
function grubStartFor(doors: Doors, ip: string): Buffer {
  const client = clientAt(doors, ip)
  return Buffer.from(client ? renderGrubStart(scriptUrl(doors.config.boot, client.mac, { loader: 'grub' })) : GRUB_EXIT)
}

function clientAt({ leases, clients }: Doors, ip: string): BootClient | undefined {
  const mac = leases.macOf(ip)
  return mac === undefined ? undefined : clients.get(mac)
}

/** The script holds the boot token: only the address that the MAC has gets it. */
function scriptFor(
  doors: Doors,
  { mac, loader }: { mac: string; loader: ScriptLoader },
  asked: OrderAt,
): string | undefined {
  const { clients, leases, observer } = doors
  const client = clients.get(mac)
  // GRUB has no TLS, whatever fetched it.
  const at: OrderAt = loader === 'grub' ? { ...asked, scheme: 'http' } : asked
  if (!client || !leases.holds(mac, at.ip)) {
    observer.onScriptRefused(mac, at.ip, 'which has another address')
    return undefined
  }
  observer.onScript(client, loader)
  const render = loader === 'grub' ? renderGrub : renderScript
  return render(inTurn(doors, client, bootOrder(doors, client, at)), client.label)
}

/** The same order, or to wait where enough others load the ramdisk. */
function inTurn({ admission, observer, clock }: Doors, client: BootClient, order: BootOrder): BootOrder {
  if (client.order.kind !== 'ramdisk' || order.kind !== 'kernel') return order
  const turn = admission.ask(placeKey(client), clock.now())
  if (turn.kind === 'go') return order
  observer.onWaits(client, turn)
  return { kind: 'wait', turn: turnText(turn), againSeconds: turn.againSeconds }
}

/** Cards of a bundle have one place, as they have one address: another one may have asked for that meanwhile. */
const placeKey = ({ mac, group }: BootClient): string => group?.uuid ?? mac

interface OrderAt {
  readonly ip: string
  readonly mintedMs: number
  readonly scheme?: Scheme
}

/** What a client is answered now. */
export function bootOrder(doors: Doors, client: BootClient, at: OrderAt): BootOrder {
  const { order } = client
  const { scheme = 'http' } = at
  const { mac, architecture = null, firmware = null } = client
  const said = { recorded: architecture, firmware: doors.observer.architectureOf(mac) ?? firmware }
  const choice = chooseRamdisk(doors.config.boot, said)
  switch (order.kind) {
    case 'ramdisk': {
      if ('why' in choice) {
        doors.observer.onNoRamdisk(client, choice.why)
        return { kind: 'nothing' }
      }
      const { path, kernelArgs: own } = choice.ramdisk
      const args = kernelArgs(client, { ...at, own }, doors)
      return ramdiskOrder(doors.config.boot, { path, rescue: order.rescue, args, scheme })
    }
    case 'instance': {
      const { boot } = order
      if (boot.kind === 'iso') return { kind: 'iso', url: bootUrl(doors.config.boot, `/files/${boot.iso}`, scheme) }
      const { kernelArgs: usual } = 'ramdisk' in choice ? choice.ramdisk : doors.config.boot
      return {
        kind: 'kernel',
        what: 'its instance',
        kernelUrl: bootUrl(doors.config.boot, `/files/${boot.kernel}`, scheme),
        initrdUrl: bootUrl(doors.config.boot, `/files/${boot.ramdisk}`, scheme),
        args: instanceArgs(usual, boot.args),
      }
    }
    default:
      return order
  }
}
