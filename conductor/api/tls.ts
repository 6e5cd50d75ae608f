/** The certificate of a listener: a given one, or one that is made once for the addresses that are listened on. */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { selfSigned } from '../../kit/certificate.ts'
import { Fault } from '../../kit/fault.ts'
import { writeWhole } from '../../kit/files.ts'

export interface TlsFiles {
  readonly cert: Buffer
  readonly key: Buffer
}

const DAYS = 3650

/** Throws as `givenTls` does. */
export async function tlsFiles(
  source: 'self-made' | { cert: string; key: string },
  at: {
    dataDir: string
    addresses: readonly string[]
    hostname: string
    /** Of the files that are made. */
    name: string
    configKey: string
  },
): Promise<TlsFiles> {
  const paths =
    source === 'self-made'
      ? { cert: join(at.dataDir, `${at.name}.crt`), key: join(at.dataDir, `${at.name}.key`) }
      : source
  if (source === 'self-made' && !(await stat(paths.cert).catch(() => undefined))) {
    const names = [...at.addresses.map((address) => `IP:${address}`), `DNS:${at.hostname}`, 'DNS:localhost']
    const made = await selfSigned({ commonName: 'rackward', days: DAYS, names })
    // The certificate comes last: without it, both are made anew.
    await writeWhole(paths.key, made.key)
    await writeWhole(paths.cert, made.cert)
  }
  return givenTls(paths, at.configKey)
}

/** Throws `config.invalid` for files that cannot be read, or that are no certificate with its key. */
export async function givenTls(paths: { cert: string; key: string }, configKey: string): Promise<TlsFiles> {
  const read = (name: 'cert' | 'key') =>
    readFile(paths[name]).catch((error: Error) => {
      throw new Fault('config.invalid', `${configKey}.${name}: cannot read ${paths[name]}: ${error.message}`, {
        cause: error,
      })
    })
  const files = { cert: await read('cert'), key: await read('key') }
  const flaw = flawOf(files)
  if (flaw !== undefined)
    throw new Fault('config.invalid', `${configKey}: ${paths.cert} and ${paths.key} cannot be used together: ${flaw}`)
  return files
}

/** Undefined: the first certificate of the chain is that of the key. */
function flawOf({ cert, key }: TlsFiles): string | undefined {
  try {
    return new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))
      ? undefined
      : 'the key is that of another certificate'
  } catch (error) {
    return (error as Error).message
  }
}
