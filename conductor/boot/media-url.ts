/** Where the BMC of a node fetches its boot ISO. Pure. */
import { Fault } from '../../kit/fault.ts'
import type { BootConfig } from '../config.ts'
import type { NodeRecord } from '../node/record.ts'
import { mediaPath } from './media-http.ts'
import { mediaName } from './token.ts'

/** Throws `node.unsupported` where no boot ISO is configured, `input.invalid` for an external_http_url that is no base
 *  of a URL. */
export function mediaUrl(boot: BootConfig | undefined, tokenKey: Buffer, node: NodeRecord): string {
  if (boot?.iso === undefined)
    throw new Fault('node.unsupported', 'boot.iso is not configured: this conductor boots no node by virtual media')
  const name = mediaName(tokenKey, { nodeUuid: node.uuid, generation: node.workflow.generation })
  return `${baseOf(boot, node)}${mediaPath(name)}`
}

/** Of the node (Ironic's external_http_url), of the listener for media, or of the boot HTTP server. */
function baseOf({ media, http }: BootConfig, { driverInfo }: NodeRecord): string {
  const own = driverInfo.external_http_url ?? media?.url
  if (own !== undefined) return checkedBase(own)
  if (!media) return `http://${http.address}:${http.port}`
  return `${media.tls ? 'https' : 'http'}://${media.address}:${media.port}`
}

function checkedBase(given: unknown): string {
  const url = typeof given === 'string' && URL.canParse(given) ? new URL(given) : undefined
  if (!url || !/^https?:$/.test(url.protocol) || url.search || url.hash || url.username || url.password)
    throw new Fault('input.invalid', 'external_http_url is not a URL such as http://192.0.2.10:8080')
  return url.href.replace(/\/+$/, '')
}
