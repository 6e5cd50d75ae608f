/** What is asked of a finished tree of Debian: how large it is, whether it is hardened, what is in it; and what it must
 *  not hand on. */
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Fault } from '../../kit/fault.ts'
import { run, runOk } from '../../kit/run.ts'
import { licencesOf, packagesOf, sbomOf } from '../sbom.ts'
import { HARDENING_CHECK } from './hardening-files.ts'

const TIMEOUT_MS = 10 * 60_000
const BLOCK_BYTES = 4096

/** In bytes of the files and not in blocks of this machine's file system, which are not the same everywhere. */
export async function usedMibOf(tree: string): Promise<number> {
  const text = await runOk(['find', tree, '-printf', '%s %y\n'], {
    timeoutMs: TIMEOUT_MS,
    maxBytes: 64 * 1024 * 1024,
  })
  return Math.ceil(sizeOf(text) / (1024 * 1024))
}

/** Sizes of files, in whole blocks; what is none takes one. */
const sizeOf = (text: string): number =>
  text
    .split('\n')
    .filter(Boolean)
    .reduce((sum, line) => {
      const [size = '0', type] = line.split(' ')
      return sum + (type === 'f' ? Math.ceil(Number(size) / BLOCK_BYTES) * BLOCK_BYTES : BLOCK_BYTES)
    }, 0)

export async function checkHardening(tree: string, say: (line: string) => void): Promise<void> {
  const { code, stdout, stderr } = await run(['chroot', tree, HARDENING_CHECK], { timeoutMs: TIMEOUT_MS })
  await rm(join(tree, 'run/sshd'), { recursive: true, force: true })
  const failed = stdout.split('\n').filter((line) => line.startsWith('FAILED'))
  if (code !== 0)
    throw new Fault('run.failed', `the image is not hardened: ${failed.join(', ') || stderr.slice(0, 1_000)}`)
  say(`${stdout.trim().split('\n').length} settings of the hardened profile are in effect`)
}

export async function sbomOfTree(tree: string, about: { name: string; epochSeconds: number }): Promise<string> {
  const status = await readFile(join(tree, 'var/lib/dpkg/status'), 'utf8')
  const licences = new Map<string, readonly string[]>()
  for (const { name } of packagesOf(status)) {
    // Some are links into another package.
    const text = await readFile(join(tree, 'usr/share/doc', name, 'copyright'), 'utf8').catch(() => '')
    licences.set(name, licencesOf(text))
  }
  const { name, epochSeconds } = about
  return sbomOf({ name, distro: name, epochSeconds, status, licences })
}

/** The sources of apt are those of the machine that builds: user names and passwords in their URLs stay there. */
export async function removeAptLogins(tree: string): Promise<void> {
  const lists = join(tree, 'etc/apt/sources.list.d')
  const names = await readdir(lists).catch(() => [])
  for (const path of [join(tree, 'etc/apt/sources.list'), ...names.map((name) => join(lists, name))]) {
    const text = await readFile(path, 'utf8').catch(() => '')
    const clean = text.replace(/([a-z0-9+.-]:\/\/)[^\s/]*@/gi, '$1')
    if (clean !== text) await writeFile(path, clean)
  }
}
