/** A CA and certificates that it signs, by openssl: RSA, as UEFI firmware checks it. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { selfSigned, type Pair } from '../../kit/certificate.ts'
import { runOk } from '../../kit/run.ts'

const TIMEOUT_MS = 60_000

export interface SiteCa {
  readonly cert: string
  /** `names` as openssl writes them: `IP:192.0.2.1`. */
  readonly sign: (names: string) => Promise<Pair>
}

/** `dir`: for its files. */
export async function siteCa(dir: string): Promise<SiteCa> {
  const ca = await selfSigned({ commonName: 'Site CA', days: 30, algorithm: 'rsa' })
  const [caKey, caCert] = [join(dir, 'ca.key'), join(dir, 'ca.crt')]
  await writeFile(caKey, ca.key, { mode: 0o600 })
  await writeFile(caCert, ca.cert)
  const sign = async (names: string): Promise<Pair> => {
    const { key } = await selfSigned({ commonName: 'boot', days: 30, algorithm: 'rsa' })
    const [keyPath, requestPath, namesPath] = ['leaf.key', 'leaf.csr', 'leaf.ext'].map((name) => join(dir, name)) as [
      string,
      string,
      string,
    ]
    await writeFile(keyPath, key, { mode: 0o600 })
    await writeFile(namesPath, `subjectAltName=${names}\n`)
    await runOk(['openssl', 'req', '-new', '-key', keyPath, '-subj', '/CN=boot', '-out', requestPath], {
      timeoutMs: TIMEOUT_MS,
    })
    const signing = ['-CA', caCert, '-CAkey', caKey, '-CAcreateserial', '-days', '30', '-extfile', namesPath]
    const cert = await runOk(['openssl', 'x509', '-req', '-in', requestPath, ...signing], { timeoutMs: TIMEOUT_MS })
    return { key, cert }
  }
  return { cert: ca.cert, sign }
}
