/** A real Consul for the tests and the lab. Debian 12 has no package of it, Debian 11 has 1.8.7: it is fetched from the
 *  mirror that this machine's own apt sources name, unpacked into the cache, and nothing of the system is changed. A
 *  `consul` in PATH wins. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

const SUITE = 'bullseye'

/** Path of the program. Throws with what to do. */
export function ensureConsul(say = () => undefined) {
  const own = spawnSync('sh', ['-c', 'command -v consul'], { encoding: 'utf8' }).stdout.trim()
  if (own) return own
  const root = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'rackward')
  const binary = join(root, 'consul', 'usr/bin/consul')
  if (existsSync(binary)) return binary
  say(`Consul is not installed: unpacking the one of Debian ${SUITE} into ${join(root, 'consul')}`)
  const work = join(root, `consul.${process.pid}`)
  const apt = isolatedApt(work, 'deb', SUITE)
  try {
    if (!apt('update') || !apt('download', 'consul'))
      throw new Error(
        `Consul could not be fetched from Debian ${SUITE}: install Consul 1.8 or newer and put it into PATH`,
      )
    const deb = readdirSync(work).find((name) => name.endsWith('.deb'))
    if (spawnSync('dpkg-deb', ['-x', deb, join(work, 'root')], { cwd: work }).status !== 0)
      throw new Error(`${deb} could not be unpacked`)
    rmSync(join(root, 'consul'), { recursive: true, force: true })
    renameSync(join(work, 'root'), join(root, 'consul'))
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
  return binary
}

/** apt-get with one suite of this machine's mirror, beside the system: all that it writes stays in `work`. It answers
 *  whether it succeeded. `kind` is deb, or deb-src for sources. */
export function isolatedApt(work, kind, suite) {
  mkdirSync(join(work, 'lists/partial'), { recursive: true })
  mkdirSync(join(work, 'archives/partial'), { recursive: true })
  mkdirSync(join(work, 'none'), { recursive: true })
  const mirror = mirrorOf()
  if (!mirror)
    throw new Error('no apt source of Debian was found: this machine must have one, such as that of Debian 12')
  writeFileSync(
    join(work, 'one.list'),
    `${kind} [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror} ${suite} main\n`,
  )
  const options = [
    `Dir::Etc::SourceList=${work}/one.list`,
    `Dir::Etc::SourceParts=${work}/none`,
    `Dir::State::lists=${work}/lists`,
    `Dir::Cache=${work}`,
    'APT::Sandbox::User=root',
    'Acquire::Languages=none',
  ].flatMap((option) => ['-o', option])
  return (...args) =>
    spawnSync('apt-get', [...options, '-q', ...args], { cwd: work, stdio: ['ignore', 'ignore', 2] }).status === 0
}

/** The mirror of the first Debian archive that apt knows; not the one of security updates. */
function mirrorOf() {
  const files = ['/etc/apt/sources.list', ...list('/etc/apt/sources.list.d')]
  for (const file of files) {
    const text = existsSync(file) ? readFileSync(file, 'utf8') : ''
    for (const match of text.matchAll(/^(?:URIs:|deb\s+(?:\[[^\]]*\]\s+)?)\s*(\S+)/gm)) {
      const uri = match[1]
      if (/^(https?|mirror\+\S+):/.test(uri) && /\/debian\/?$/.test(uri)) return uri
    }
  }
  return undefined
}

const list = (dir) => (existsSync(dir) ? readdirSync(dir).map((name) => join(dir, name)) : [])
