/** Is this the key that the secrets in the database were sealed with? The first conductor leaves a mark that tells. */
import { Fault } from '../../../kit/fault.ts'
import type { Seal } from '../secrets.ts'
import type { Connections } from './connect.ts'

const CHECK = 'key check'

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
