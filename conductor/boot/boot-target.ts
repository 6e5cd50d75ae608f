/** What the path of a request to the boot HTTP server names. Pure. */
import { AUTOEXEC, isGrubConfig } from '../../pxe/firmware.ts'
import { isAgentSaid, SAID_PATH, type AgentSaid } from '../api/agent-said.ts'
import { mediaNameOf } from './media-http.ts'

export type ScriptLoader = 'ipxe' | 'grub'
export const SCRIPT_NAMES: Readonly<Record<ScriptLoader, string>> = { ipxe: 'script.ipxe', grub: 'grub.cfg' }
const SCRIPT = /^\/boot\/([0-9a-f]{2}(?:-[0-9a-f]{2}){5})\/(script\.ipxe|grub\.cfg)$/

/** What the target of a request names. */
export type BootTarget =
  | { readonly kind: 'media'; readonly name: string }
  | { readonly kind: 'script'; readonly mac: string; readonly loader: ScriptLoader }
  | { readonly kind: 'autoexec' }
  | { readonly kind: 'said'; readonly what: AgentSaid }
  | { readonly kind: 'grub' }
  | { readonly kind: 'file'; readonly path: string }

export function bootTarget(target: string): BootTarget {
  // shim joins the directory and the name of its next file with one slash too many.
  const path = (target.split('?')[0] ?? '').replace(/\/{2,}/g, '/')
  const name = mediaNameOf(path)
  if (name !== undefined) return { kind: 'media', name }
  const [, mac, script] = SCRIPT.exec(path) ?? []
  if (mac)
    return {
      kind: 'script',
      mac: mac.replaceAll('-', ':'),
      loader: script === SCRIPT_NAMES.grub ? 'grub' : 'ipxe',
    }
  if (path === `/loader/${AUTOEXEC}`) return { kind: 'autoexec' }
  const what = path.startsWith(SAID_PATH) ? path.slice(SAID_PATH.length) : ''
  if (isAgentSaid(what)) return { kind: 'said', what }
  if (isGrubConfig(path.slice(1))) return { kind: 'grub' }
  return { kind: 'file', path }
}
