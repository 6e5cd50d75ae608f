/** The agent port's own certificate, made once. Agents pin its hash, which comes to them in the boot script; no name in
 *  it matters. */
import { createHash, createPrivateKey, X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { selfSigned } from '../../kit/certificate.ts'
import { Fault } from '../../kit/fault.ts'
import { writeWhole } from '../../kit/files.ts'

export interface Identity {
  readonly key: Buffer
  readonly cert: Buffer
  /** SHA-256 of the certificate (DER), hexadecimal. */
  readonly pin: string
}

const DAYS = 3650

/** SHA-256 of a certificate (DER), hexadecimal. */
export const certificatePin = (cert: string | Buffer): string =>
  createHash('sha256').update(new X509Certificate(cert).raw).digest('hex')

/** Throws `key.broken` for files that are no key and certificate of one another. */
export async function agentIdentity(dataDir: string): Promise<Identity> {
  const [keyPath, certPath] = [join(dataDir, 'agent.key'), join(dataDir, 'agent.crt')]
  if ((await readIfThere(certPath)) === undefined) {
    const made = await selfSigned({ commonName: 'rackward-conductor', days: DAYS })
    // The certificate comes last: without it, both are made anew.
    await writeWhole(keyPath, made.key)
    await writeWhole(certPath, made.cert)
  }
  const [key, cert] = [await readIfThere(keyPath), await readIfThere(certPath)]
  try {
    if (!key || !cert) throw new Error('one of the two files is missing')
    const certificate = new X509Certificate(cert)
    if (!certificate.checkPrivateKey(createPrivateKey(key)))
      throw new Error('the key is not the one of the certificate')
    return { key, cert, pin: certificatePin(cert) }
  } catch (error) {
    throw new Fault(
      'key.broken',
      `${keyPath} and ${certPath} are no key and its certificate: ${(error as Error).message}`,
      { cause: error },
    )
  }
}

const readIfThere = (path: string): Promise<Buffer | undefined> =>
  readFile(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw new Fault('key.broken', `cannot read ${path}: ${error.message}`, { cause: error })
  })
