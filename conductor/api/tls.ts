/** The certificate of a listener: a given one, or one that is made once for the addresses that are listened on. */
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

/** Throws `config.invalid` for files that cannot be read. */
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
  const read = (name: 'cert' | 'key') =>
    readFile(paths[name]).catch((error: Error) => {
      throw new Fault('config.invalid', `${at.configKey}.${name}: cannot read ${paths[name]}: ${error.message}`, {
        cause: error,
      })
    })
  return { cert: await read('cert'), key: await read('key') }
}
