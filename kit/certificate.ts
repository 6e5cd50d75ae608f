/** Makes a key (ECDSA P-256, or RSA) and a self-signed certificate with openssl. They come through a pipe: files that
 *  openssl writes itself are half there after a crash. */
import { Fault } from './fault.ts'
import { runOk } from './run.ts'

/** PEM. */
export interface Pair {
  readonly key: string
  readonly cert: string
}

export interface CertificateOptions {
  readonly commonName: string
  readonly days: number
  /** Subject alternative names as openssl writes them: `IP:192.0.2.1`, `DNS:host`. */
  readonly names?: readonly string[]
  /** ECDSA when nothing is said. UEFI firmware checks signatures by RSA alone. */
  readonly algorithm?: 'ecdsa' | 'rsa'
}

const TIMEOUT_MS = 30_000
const NEW_KEY = {
  ecdsa: ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'],
  rsa: ['-newkey', 'rsa:2048'],
} as const

/** Throws `run.missing` without openssl. */
export async function selfSigned(options: CertificateOptions): Promise<Pair> {
  const { commonName, days, names = [], algorithm = 'ecdsa' } = options
  const extensions = names.length === 0 ? [] : ['-addext', `subjectAltName=${names.join(',')}`]
  const subject = ['-nodes', '-days', String(days), '-subj', `/CN=${commonName}`, ...extensions]
  const text = await runOk(
    ['openssl', 'req', '-x509', ...NEW_KEY[algorithm], ...subject, '-keyout', '-', '-out', '-'],
    {
      timeoutMs: TIMEOUT_MS,
    },
  )
  const [key, cert] = ['PRIVATE KEY', 'CERTIFICATE'].map(
    (label) => new RegExp(`-----BEGIN ${label}-----[^-]+-----END ${label}-----\n`).exec(text)?.[0],
  )
  if (!key || !cert) throw new Fault('run.failed', 'openssl made no key and certificate')
  return { key, cert }
}
