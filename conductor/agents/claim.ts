/** The claim of a signed ramdisk, whose command line is the same for all servers and holds no token: the card that it
 *  names must have the address that the call comes from, and its node must be booting the signed ramdisk. It is traded
 *  as a token is, once for each boot. */
import { Fault } from '../../kit/fault.ts'
import { orderNow } from '../boot/orders.ts'
import type { BootToken } from '../boot/token.ts'
import { bootsUki } from '../node/policy/firmware-target.ts'
import type { Store } from '../store/port.ts'

/** All claims of one boot are the same one. */
const CLAIMED_MS = 0

/** Throws `agent.token`, always with the same words: who asks learns nothing about other servers. */
export async function claimedBoot(
  store: Pick<Store, 'portByAddress' | 'node'>,
  mac: string | undefined,
  fromIp: string,
): Promise<BootToken> {
  const port = mac === undefined ? undefined : await store.portByAddress(mac)
  const node = port && (await store.node(port.nodeUuid))
  const isOwn = port?.pxeEnabled === true && port.internalInfo.ipv4_address === fromIp.replace(/^::ffff:/, '')
  const order = node && bootsUki(node) ? orderNow(node) : undefined
  if (!isOwn || order?.kind !== 'ramdisk' || !order.token || order.rescue)
    throw new Fault('agent.token', 'no boot of a signed ramdisk was ordered for the card that has this address')
  return { nodeUuid: port.nodeUuid, generation: order.generation, mintedMs: CLAIMED_MS }
}
