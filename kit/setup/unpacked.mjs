/** Debian packages that are unpacked into the cache and not installed: fetched from the mirror that this machine's own
 *  apt sources name. Nothing of the system is changed. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

/** The folder with the files of a package. `has`: one of them, by which a folder of before is known. Throws with what
 *  to do (`remedy`). */
export function unpacked({ name, suite, has, remedy }, say = () => undefined) {
  const root = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'rackward')
  const folder = join(root, name)
  if (existsSync(join(folder, has))) return folder
  say(`${name} is not installed: unpacking the one of Debian ${suite} into ${folder}`)
  const work = join(root, `${name}.${process.pid}`)
  const apt = isolatedApt(work, 'deb', suite)
  try {
    if (!apt('update') || !apt('download', name))
      throw new Error(`${name} could not be fetched from Debian ${suite}: ${remedy}`)
    const deb = readdirSync(work).find((file) => file.endsWith('.deb'))
    if (spawnSync('dpkg-deb', ['-x', deb, join(work, 'root')], { cwd: work }).status !== 0)
      throw new Error(`${deb} could not be unpacked`)
    rmSync(folder, { recursive: true, force: true })
    renameSync(join(work, 'root'), folder)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
  return folder
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
