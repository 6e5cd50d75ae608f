/** `rackward image build uki`: the deploy ramdisk of a configuration as one program of UEFI, signed with the key of the
 *  site. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { agentIdentity } from '../conductor/agents/certificate.ts'
import { ukiArgs } from '../conductor/boot/render.ts'
import { loadConfig } from '../conductor/config.ts'
import { buildUki } from '../images/recipes/uki.ts'
import { selfSigned } from '../kit/certificate.ts'
import { Fault } from '../kit/fault.ts'
import { isPrivateFile, writeWhole } from '../kit/files.ts'

const DAYS = 7300

export interface UkiOptions {
  readonly config?: string
  /** Of a site that has them already. */
  readonly key?: string
  readonly cert?: string
  readonly cacheDir: string
}

/** Answers what to do next. */
export async function buildSignedRamdisk(options: UkiOptions, say: (line: string) => void): Promise<string> {
  if (options.config === undefined)
    throw new Fault('input.missing', '--config: the configuration of the conductor, whose address and pin go inside')
  const { data, boot, agent } = await loadConfig(options.config)
  if (!boot?.uki || !agent)
    throw new Fault('input.missing', `${options.config}: boot.uki, where it goes, and agent must be set`)
  const { keyFile, certificateFile } = await siteKey(data, options)
  const { pin } = await agentIdentity(data)
  await buildUki(
    { kernel: boot.kernel, initrd: boot.initrd, args: ukiArgs({ boot, agent }, pin), keyFile, certificateFile },
    { out: boot.uki, cacheDir: options.cacheDir, say },
  )
  return `uki          ${boot.uki}\ncertificate  ${certificateFile}\nAdd the certificate to db of each server (step management.enroll_secure_boot_certificates), say secure_boot_uki:true in properties/capabilities of its node, and restart the boot services.`
}

/** The given ones, or those that are made once beside the other keys of the conductor. */
async function siteKey(data: string, { key, cert }: UkiOptions) {
  if ((key === undefined) !== (cert === undefined))
    throw new Fault('input.missing', '--key and --cert: one of them is missing')
  if (key !== undefined && cert !== undefined) {
    if (!(await isPrivateFile(key, 'key.broken'))) throw new Fault('input.missing', `--key: there is no file ${key}`)
    return { keyFile: key, certificateFile: cert }
  }
  const [keyFile, certificateFile] = [join(data, 'secure-boot.key'), join(data, 'secure-boot.crt')]
  if (!(await isPrivateFile(keyFile, 'key.broken')) || !existsSync(certificateFile)) {
    const made = await selfSigned({ commonName: 'Rackward Secure Boot', days: DAYS, algorithm: 'rsa' })
    // The certificate comes last: without it, both are made anew.
    await writeWhole(keyFile, made.key)
    await writeWhole(certificateFile, made.cert)
  }
  return { keyFile, certificateFile }
}
