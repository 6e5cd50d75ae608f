/** A real Consul for the tests and the lab. Debian 12 has no package of it, Debian 11 has 1.8.7, which is unpacked into
 *  the cache. A `consul` in PATH wins. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { unpacked } from './unpacked.mjs'

const SUITE = 'bullseye'

/** Path of the program. Throws with what to do. */
export function ensureConsul(say = () => undefined) {
  const own = spawnSync('sh', ['-c', 'command -v consul'], { encoding: 'utf8' }).stdout.trim()
  if (own) return own
  const remedy = 'install Consul 1.8 or newer and put it into PATH'
  return join(unpacked({ name: 'consul', suite: SUITE, has: 'usr/bin/consul', remedy }, say), 'usr/bin/consul')
}
