/** Is this the key that the secrets in the database were sealed with? The first conductor leaves a mark that tells. And
 *  secrets that conductors have in common: the first one's are kept. */
import { Fault } from '../../../kit/fault.ts'
import type { Seal } from '../secrets.ts'
import type { Connections } from './connect.ts'

const CHECK = 'key check'
const SECRET = 'secret: '

/** Throws `secret.key` for another key: without it, no record could be used. */
export async function checkKey(connections: Connections, seal: Seal): Promise<void> {
  const mark = seal.close(Buffer.from('rackward'), CHECK).toString('base64')
  await connections.query({
    text: 'INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING',
    values: [CHECK, mark],
  })
  const [known] = await connections.rows<{ value: string }>({
    text: 'SELECT value FROM meta WHERE name = $1',
    values: [CHECK],
  })
  try {
    seal.open(Buffer.from(known?.value ?? '', 'base64'), CHECK)
  } catch (error) {
    throw new Fault(
      'secret.key',
      'secret.key is not the key that the secrets in the database were sealed with; all conductors need the same one',
      { cause: error },
    )
  }
}

/** Of those who come at the same time, one is the first. */
export async function keepSecret(
  { connections, seal }: { readonly connections: Connections; readonly seal: Seal },
  name: string,
  secret: Buffer,
): Promise<Buffer> {
  const key = `${SECRET}${name}`
  await connections.query({
    text: 'INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING',
    values: [key, seal.close(secret, key).toString('base64')],
  })
  const [kept] = await connections.rows<{ value: string }>({
    text: 'SELECT value FROM meta WHERE name = $1',
    values: [key],
  })
  return seal.open(Buffer.from(kept?.value ?? '', 'base64'), key)
}
