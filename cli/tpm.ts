/** `rackward node tpm NODE [--accept [FINGERPRINT]]`: what the TPM of a node proved of its last boot. */
import type { TpmView } from '../conductor/api/tpm-schemas.ts'
import { connect, enc, type Common } from './nodes.ts'
import { formatOf, said, show } from './show.ts'

interface TpmOptions extends Common {
  /** The fingerprint that was compared; true: whichever proved the last boot. */
  readonly accept?: boolean | string
}

export async function tpm(ident: string, options: TpmOptions): Promise<void> {
  const format = formatOf(options.output)
  const api = await connect(options)
  const path = `/rackward/v1/nodes/${enc(ident)}/tpm`
  const { accept } = options
  const body = typeof accept === 'string' ? { ek: accept } : {}
  const view = (await (accept ? api.ask('POST', `${path}/accept`, body) : api.ask('GET', path))) as TpmView
  await show(view, format, () => textOf(ident, view))
}

const BY = { grub: 'the signed loaders measured', uki: 'the firmware measured the signed ramdisk, which is' }

function textOf(ident: string, { mode, ek, ek_since, proof }: TpmView): string {
  const known = ek ? `TPM ${said(ek.slice(0, 16))}… since ${said(ek_since ?? '')}` : 'no TPM is known yet'
  const head = `${said(ident)}: ${known} (driver_info/tpm: ${said(mode)})`
  if (!proof) return `${head}\nits last boot proved nothing: it has not booted the ramdisk since`
  const at = `${said(proof.at)}${proof.present ? '' : ', an earlier boot'}`
  const secure = proof.secure_boot === null ? '' : `; Secure Boot ${proof.secure_boot ? 'on' : 'off'}`
  const changed =
    proof.changed.length > 0 ? `\nfirmware changed since the boot before: PCR ${proof.changed.join(', ')}` : ''
  return `${head}\n${verdictOf(proof)} (${at}${secure})${changed}`
}

function verdictOf({ verdict, by, detail, fault, ek }: NonNullable<TpmView['proof']>): string {
  if (verdict === 'proved') return `proved: ${BY[by ?? 'grub']} exactly what was served in this boot`
  if (verdict === 'partial') return `observed: partial: ${said(detail)}`
  const other = fault?.code === 'tpm.replaced' && ek ? `\nthe other TPM: ${said(ek)}` : ''
  return `failed (${said(fault?.code)}): ${said(detail ?? fault?.description)}\nremedy: ${said(fault?.remedy)}${other}`
}
