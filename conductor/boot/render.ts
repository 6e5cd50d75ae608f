/** What a boot is made of: the kernel command line of the ramdisk, and the files that may be fetched. Pure. */
import { join } from 'node:path'
import { inSubnet, parseSubnet } from '../../pxe/addresses.ts'
import { bootFilePath } from '../../images/boot-files.ts'
import { LOADERS, OPTIONAL_LOADERS, UKI_LOADER } from '../../pxe/firmware.ts'
import type { BootConfig, Config } from '../config.ts'
import type { Bond } from './bonds.ts'
import { allRamdisks } from './ramdisks.ts'
import type { MediaBoot } from './media-orders.ts'
import type { StaticNetwork } from './network-data.ts'
import type { BootClient } from './orders.ts'
import { mintToken } from './token.ts'

/** What the boot services read of the configuration. */
export type ServiceConfig = Pick<Config, 'data' | 'limits' | 'images'> & {
  readonly boot: BootConfig
  readonly agent: NonNullable<Config['agent']>
}

interface RenderParts {
  readonly config: ServiceConfig
  readonly pin: string
  readonly tokenKey: Buffer
  /** The boot room that this is, whose key that is. */
  readonly room?: string | undefined
}

/** The ramdisk has no DHCP client: its address, which is the node's for as long as it is known, comes with the rest.
 *  `own`: what its architecture wants. */
export function kernelArgs(
  client: BootClient,
  { ip, mintedMs, own }: { ip: string; mintedMs: number; own: readonly string[] },
  parts: RenderParts,
): string[] {
  const { boot } = parts.config
  const { order, nodeUuid } = client
  const token =
    order.kind === 'ramdisk' && order.token
      ? mintToken(parts.tokenKey, {
          nodeUuid,
          generation: order.generation,
          mintedMs,
          ...(parts.room === undefined ? {} : { room: parts.room }),
        })
      : undefined
  const subnet = boot.subnets.find(({ cidr }) => inSubnet(ip, parseSubnet(cidr)))
  const network = {
    mac: client.mac,
    ip: `${ip}/${subnet?.cidr.split('/')[1] ?? '32'}`,
    gateway: subnet?.router ?? null,
    mtu: null,
    ...(client.group ? { bond: client.group.bond } : {}),
    ...(client.vlan === undefined ? {} : { vlan: client.vlan }),
  }
  return ramdiskArgs(parts, network, { token, own })
}

/** The same for a node that boots from the boot ISO, with an address that it is given by its record. */
export const mediaArgs = (
  parts: RenderParts,
  at: { readonly nodeUuid: string; readonly mintedMs: number },
  { generation, network }: MediaBoot,
): string[] =>
  ramdiskArgs(parts, network, {
    token: mintToken(parts.tokenKey, { ...at, generation }),
    own: parts.config.boot.kernelArgs,
  })

function ramdiskArgs(
  { config, pin }: RenderParts,
  { mac, ip, gateway, mtu, bond, vlan }: StaticNetwork,
  { token, own }: { token: string | undefined; own: readonly string[] },
): string[] {
  const { agent, boot } = config
  return [
    ...own,
    'panic=30',
    `rackward.url=https://${agent.address}:${agent.port}`,
    `rackward.pin=${pin}`,
    `rackward.http=http://${boot.http.address}:${boot.http.port}`,
    ...(token ? [`rackward.token=${token}`] : []),
    `rackward.mac=${mac}`,
    `rackward.ip=${ip}`,
    ...(gateway === null ? [] : [`rackward.gateway=${gateway}`]),
    ...(mtu === null ? [] : [`rackward.mtu=${mtu}`]),
    ...(bond ? bondArgs(bond) : []),
    ...(vlan === undefined ? [] : [`rackward.vlan=${vlan}`]),
  ]
}

const bondArgs = ({ mode, options, members, address }: Bond): string[] => [
  `rackward.bond=${[mode, ...options].join(',')}`,
  `rackward.members=${members.join(',')}`,
  ...(address === null ? [] : [`rackward.bondmac=${address}`]),
]

/** What stands in the signed ramdisk: no token, which its agent asks for by the address that it is given. */
export const ukiArgs = ({ boot, agent }: Pick<RenderParts['config'], 'boot' | 'agent'>, pin: string): string[] => [
  ...boot.kernelArgs,
  'panic=30',
  `rackward.url=https://${agent.address}:${agent.port}`,
  `rackward.pin=${pin}`,
  `rackward.http=http://${boot.http.address}:${boot.http.port}`,
  'rackward.claim=dhcp',
]

/** What Ironic's iPXE template gives a ramdisk instance, its own arguments last. */
export const instanceArgs = (usual: readonly string[], own: readonly string[]): string[] => [
  'root=/dev/ram0',
  'text',
  ...usual,
  ...own,
]

/** What names the files that are served. */
export interface ServedFiles {
  readonly boot: Pick<BootConfig, RamdiskKey | 'loaders' | 'uki'>
  readonly images: Pick<Config['images'], 'store'>
}

type RamdiskKey = 'kernel' | 'initrd' | 'rescueInitrd' | 'kernelArgs' | 'architecture' | 'ramdisks'

/** Without anything else of the configuration. */
export const servedFiles = ({ boot, images }: ServedFiles): ServedFiles => {
  const { kernel, initrd, rescueInitrd, kernelArgs, architecture, ramdisks, loaders, uki } = boot
  const files = { kernel, initrd, rescueInitrd, kernelArgs, architecture, ramdisks, loaders, uki }
  return { boot: files, images: { store: images.store } }
}

/** URL path -> file, by exact names alone. */
export function servedFile(url: string, config: ServedFiles): string | undefined {
  for (const { path, kernel, initrd, rescueInitrd } of allRamdisks(config.boot)) {
    if (url === `${path}/kernel`) return kernel
    if (url === `${path}/initrd`) return initrd
    if (url === `${path}/rescue`) return rescueInitrd
  }
  if (url === `/loader/${UKI_LOADER}`) return config.boot.uki
  const loader = /^\/loader\/([a-z0-9.-]+)$/.exec(url)?.[1]
  if (loader && [...LOADERS, ...OPTIONAL_LOADERS].includes(loader)) return join(config.boot.loaders, loader)
  const file = /^\/files\/(sha256-[0-9a-f]{64}|sha512-[0-9a-f]{128})$/.exec(url)?.[1]
  if (file) return bootFilePath(config.images.store, file)
  const image = /^\/images\/([0-9a-f]{64})\/data\.zst$/.exec(url)?.[1]
  return image ? join(config.images.store, image, 'data.zst') : undefined
}
