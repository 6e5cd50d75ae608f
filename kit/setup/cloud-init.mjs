/** Debian's cloud-init for the tests, as a judge of config drives: unpacked into the cache. Installed, it would
 *  configure this machine at its next start. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { unpacked } from './unpacked.mjs'

const MODULES = 'usr/lib/python3/dist-packages'

/** The folder of its Python modules. Throws with what to do. */
export function ensureCloudInit(say = () => undefined) {
  if (existsSync(join('/', MODULES, 'cloudinit'))) return join('/', MODULES)
  const suite = /^VERSION_CODENAME=(\w+)/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? 'bookworm'
  const has = join(MODULES, 'cloudinit/version.py')
  return join(unpacked({ name: 'cloud-init', suite, has, remedy: 'look at the apt sources' }, say), MODULES)
}
