/** The API's certificate: a given one, or one that is made once for the addresses that are listened on. */
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Fault } from '../../kit/fault.ts'
import { runOk } from '../../kit/run.ts'

export interface TlsFiles {
  readonly cert: Buffer
  readonly key: Buffer
}

const TIMEOUT_MS = 30_000
const DAYS = '3650'

/** Throws `config.invalid` for files that cannot be read. */
export async function apiTls(
  source: 'self-made' | { cert: string; key: string },
  at: { dataDir: string; addresses: readonly string[]; hostname: string },
): Promise<TlsFiles> {
  const paths =
    source === 'self-made' ? { cert: join(at.dataDir, 'api.crt'), key: join(at.dataDir, 'api.key') } : source
  if (source === 'self-made' && !(await stat(paths.cert).catch(() => undefined))) {
    const names = [...at.addresses.map((address) => `IP:${address}`), `DNS:${at.hostname}`, 'DNS:localhost'].join(',')
    const argv = [
      'openssl',
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:prime256v1',
      '-nodes',
      '-days',
      DAYS,
    ]
    const files = [
      '-keyout',
      paths.key,
      '-out',
      paths.cert,
      '-subj',
      '/CN=rackward',
      '-addext',
      `subjectAltName=${names}`,
    ]
    await runOk(['sh', '-c', 'umask 077; exec "$@"', 'sh', ...argv, ...files], { timeoutMs: TIMEOUT_MS })
  }
  const read = (name: 'cert' | 'key') =>
    readFile(paths[name]).catch((error: Error) => {
      throw new Fault('config.invalid', `api.tls.${name}: cannot read ${paths[name]}: ${error.message}`, {
        cause: error,
      })
    })
  return { cert: await read('cert'), key: await read('key') }
}
