/** The agent port's own certificate, made once. Agents pin its hash, which comes to them in the boot script; no name in it matters. */
import { createHash, createPrivateKey, X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Fault } from '../../kit/fault.ts'
import { writeWhole } from '../../kit/files.ts'
import { runOk } from '../../kit/run.ts'

export interface Identity {
  readonly key: Buffer
  readonly cert: Buffer
  /** SHA-256 of the certificate (DER), hexadecimal. */
  readonly pin: string
}

const DAYS = '3650'
const TIMEOUT_MS = 30_000
const PEM = /-----BEGIN ([A-Z ]+)-----[^-]+-----END \1-----\n/g

/** Throws `key.broken` for files that are no key and certificate of one another. */
export async function agentIdentity(dataDir: string): Promise<Identity> {
  const [keyPath, certPath] = [join(dataDir, 'agent.key'), join(dataDir, 'agent.crt')]
  if ((await readIfThere(certPath)) === undefined) {
    const made = await makePair()
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
    return { key, cert, pin: createHash('sha256').update(certificate.raw).digest('hex') }
  } catch (error) {
    throw new Fault(
      'key.broken',
      `${keyPath} and ${certPath} are no key and its certificate: ${(error as Error).message}`,
      { cause: error },
    )
  }
}

/** Through a pipe: what openssl writes itself is half there after a crash. */
async function makePair(): Promise<{ key: string; cert: string }> {
  const what = [
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
    '-nodes',
    '-days',
    DAYS,
    '-subj',
    '/CN=rackward-conductor',
  ]
  const text = await runOk(['openssl', 'req', ...what, '-keyout', '-', '-out', '-'], { timeoutMs: TIMEOUT_MS })
  const blocks = text.match(PEM) ?? []
  const [key, cert] = [
    blocks.find((block) => block.includes('PRIVATE KEY')),
    blocks.find((block) => block.includes('BEGIN CERTIFICATE')),
  ]
  if (!key || !cert) throw new Fault('run.failed', 'openssl made no key and certificate')
  return { key, cert }
}

const readIfThere = (path: string): Promise<Buffer | undefined> =>
  readFile(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw new Fault('key.broken', `cannot read ${path}: ${error.message}`, { cause: error })
  })
