/** images.oci of the configuration -> the client of OCI registries, with secrets read from their file. */
import { readFile } from 'node:fs/promises'
import { rootCertificates } from 'node:tls'
import { parseAuths, type OciAuths } from '../../../images/oci-auth.ts'
import { OciRegistry } from '../../../images/oci-registry.ts'
import { readSecret } from '../../../kit/webhook.ts'
import type { Config } from '../../config.ts'

export async function openOci({ authFile, caFile, plainHttp }: Config['images']['oci']): Promise<OciRegistry> {
  const own = caFile === undefined ? undefined : await readFile(caFile, 'utf8')
  const auths = async (): Promise<OciAuths> =>
    authFile === undefined
      ? new Map()
      : parseAuths(await readSecret(authFile, 'images.oci.authFile'), 'images.oci.authFile')
  // A file that cannot be used is told at the start.
  await auths()
  // Where a registry redirects to is often a public storage.
  return new OciRegistry({ auths, plainHttp, ca: own && [...rootCertificates, own].join('\n') })
}
