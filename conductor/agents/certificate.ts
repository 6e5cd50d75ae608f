/** The agent port's own certificate, made once. Agents pin its hash, which comes to them in the boot script; no name in it matters. */
import { createHash, X509Certificate } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { runOk } from '../../kit/run.ts'

export interface Identity {
  readonly key: Buffer
  readonly cert: Buffer
  /** SHA-256 of the certificate (DER), hexadecimal. */
  readonly pin: string
}

const DAYS = '3650'
const TIMEOUT_MS = 30_000

export async function agentIdentity(dataDir: string): Promise<Identity> {
  const [keyPath, certPath] = [join(dataDir, 'agent.key'), join(dataDir, 'agent.crt')]
  const known = await stat(certPath).catch(() => undefined)
  if (!known) {
    // Not before a day ago: a server whose clock runs late must not be refused by its own check.
    const argv = [
      'openssl',
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:prime256v1',
      '-nodes',
      '-keyout',
      keyPath,
      '-out',
      certPath,
      '-days',
      DAYS,
      '-subj',
      '/CN=rackward-conductor',
    ]
    await runOk(['sh', '-c', 'umask 077; exec "$@"', 'sh', ...argv], { timeoutMs: TIMEOUT_MS })
  }
  const [key, cert] = [await readFile(keyPath), await readFile(certPath)]
  return { key, cert, pin: createHash('sha256').update(new X509Certificate(cert).raw).digest('hex') }
}
