/** What agents and boot tokens know a conductor by, where several share a store: the first one's, kept there sealed, so
 *  that an agent may go on with any of them. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { writeWhole } from '../../kit/files.ts'
import { parsedOr } from '../../kit/json.ts'
import type { Random } from '../../kit/random.ts'
import { agentIdentity } from '../agents/certificate.ts'
import type { Store } from '../store/port.ts'
import { bootKey } from './token.ts'

/** The certificate comes last: without it, it and its key are made anew. */
const FILES = ['boot.key', 'agent.key', 'agent.crt']

/** Before anything reads these files of the data directory. Throws `key.broken` as those who read them. */
export async function shareIdentity(
  { data, random }: { readonly data: string; readonly random: Random },
  keep: Store['keepSecret'],
): Promise<void> {
  if (!keep) return
  await bootKey(join(data, 'boot.key'), random)
  await agentIdentity(data)
  const own = await Promise.all(
    FILES.map(async (name) => [name, (await readFile(join(data, name))).toString('base64')]),
  )
  const text = JSON.stringify(own)
  const first = (await keep('agent identity', Buffer.from(text))).toString()
  if (first === text) return
  const kept = parsedOr(first, []) as string[][]
  for (const [name = '', content = ''] of kept)
    if (FILES.includes(name)) await writeWhole(join(data, name), Buffer.from(content, 'base64'))
}
