/** What was served in the present boot of a node, as a proof of it is held against: the bytes of today's files, and the
 *  words that are rendered for this boot again. */
import { createHash } from 'node:crypto'
import { isIPv4 } from 'node:net'
import { join } from 'node:path'
import { inSubnet, parseSubnet } from '../../pxe/addresses.ts'
import { GRUB_LOADER, SHIM_LOADER } from '../../pxe/firmware.ts'
import { renderGrub, renderGrubStart } from '../../pxe/grub.ts'
import type { BootConfig, Config } from '../config.ts'
import type { NodeRecord } from '../node/record.ts'
import type { FileDigests } from '../tpm/file-digests.ts'
import type { SaidNetwork, Served } from '../tpm/served.ts'
import type { BootClient } from './orders.ts'
import { ramdiskOrder, ramdiskPaths, scriptUrl } from './ramdisk-order.ts'
import { chooseRamdisk, type Ramdisk } from './ramdisks.ts'
import { kernelArgs } from './render.ts'

export interface ServedParts {
  readonly config: Config & { boot: BootConfig; agent: NonNullable<Config['agent']> }
  readonly pin: string
  readonly tokenKey: Buffer
  readonly digests: FileDigests
  readonly clientsOf: (node: NodeRecord) => Promise<readonly BootClient[]>
}

const sha256 = (text: string): Buffer => createHash('sha256').update(text).digest()

/** Undefined: the node has no agent, or there is no ramdisk for it. */
export async function servedTo(parts: ServedParts, node: NodeRecord): Promise<Served | undefined> {
  const { boot } = parts.config
  const { digests } = parts
  const clients = await parts.clientsOf(node)
  const [{ architecture = null, firmware = null } = {}] = clients
  const choice = chooseRamdisk(boot, { recorded: architecture, firmware })
  const rescue = node.workflow.order === 'rescue'
  const initrdFile = 'ramdisk' in choice && (rescue ? choice.ramdisk.rescueInitrd : choice.ramdisk.initrd)
  if (!node.agent || !('ramdisk' in choice) || !initrdFile) return undefined

  const [kernel, initrd, ...programs] = await Promise.all([
    digests.file(choice.ramdisk.kernel),
    digests.file(initrdFile),
    ...[join(boot.loaders, SHIM_LOADER), join(boot.loaders, GRUB_LOADER), choice.ramdisk.kernel].map(digests.program),
    boot.uki === undefined ? undefined : digests.program(boot.uki),
  ])
  if (!kernel || !initrd) return undefined
  const [shim, grub, kernelProgram, uki] = programs
  return {
    shim,
    grub,
    kernelProgram,
    uki,
    kernel,
    initrd,
    ...ramdiskPaths(choice.ramdisk.path, rescue),
    ...words(parts, { clients, ramdisk: choice.ramdisk, rescue, agent: node.agent }),
  }
}

/** The client and the address are the only things that the log has to tell. */
function words(
  parts: ServedParts,
  at: {
    readonly clients: readonly BootClient[]
    readonly ramdisk: Ramdisk
    readonly rescue: boolean
    readonly agent: NonNullable<NodeRecord['agent']>
  },
): Pick<Served, 'args' | 'configs'> {
  const { boot } = parts.config
  const { ramdisk, rescue, agent } = at
  const clientOf = (mac: string) => at.clients.find((one) => one.mac === mac)
  const args = ({ mac, ip }: SaidNetwork): string[] | undefined => {
    const client = clientOf(mac)
    if (!client || !isIPv4(ip) || !boot.subnets.some(({ cidr }) => inSubnet(ip, parseSubnet(cidr)))) return undefined
    const order = { kind: 'ramdisk', generation: agent.generation, rescue, token: true } as const
    return kernelArgs({ ...client, order }, { ip, mintedMs: agent.tokenMs, own: ramdisk.kernelArgs }, parts)
  }
  return {
    args,
    configs({ waits, ...said }) {
      const own = args(said)
      const label = clientOf(said.mac)?.label ?? ''
      if (!own) return []
      return [
        renderGrubStart(scriptUrl(boot, said.mac, { loader: 'grub' })),
        renderGrub(ramdiskOrder(boot, { path: ramdisk.path, rescue, args: own }), label),
        ...waits.map((wait) => renderGrub({ kind: 'wait', ...wait }, label)),
      ].map(sha256)
    },
  }
}
