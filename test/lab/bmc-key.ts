/** The key of a virtual BMC, which it keeps over restarts: whoever has pinned it takes no other. */
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Pair } from '../../kit/certificate.ts'
import { makePair } from '../redfish/listener.ts'

export async function keyOf(dir: string): Promise<Pair> {
  const file = join(dir, 'redfish-key.json')
  if (existsSync(file)) return JSON.parse(await readFile(file, 'utf8')) as Pair
  const pair = await makePair()
  await writeFile(file, JSON.stringify(pair), { mode: 0o600 })
  return pair
}
