/** What makes a build reproducible: nothing in a tree or in an ext4 file system is younger than one fixed time, and
 *  what comes by chance (identifiers, seeds) is given. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Fault } from '../../kit/fault.ts'
import { runOk } from '../../kit/run.ts'

const TIMEOUT_MS = 10 * 60_000
/** The root directory; those before the first own one are the file system's. */
const ROOT_INODE = 2
const FIRST_OWN_INODE = 11

/** For programs of a build: their times are fixed, and so is the order of Python's sets in compiled modules. */
export const buildEnv = (epochSeconds: number): Record<string, string> => ({
  SOURCE_DATE_EPOCH: String(epochSeconds),
  PYTHONHASHSEED: '0',
  LC_ALL: 'C.UTF-8',
  TZ: 'UTC',
})

/** E2fsprogs takes its time from here. */
export const ext4Env = (epochSeconds: number): Record<string, string> => ({
  E2FSPROGS_FAKE_TIME: String(epochSeconds),
})

/** Takes back the times of everything in a tree that is younger. Links are not followed. */
export async function clampTimes(tree: string, epochSeconds: number): Promise<void> {
  const at = `@${epochSeconds}`
  await runOk(['find', tree, '-newermt', at, '-exec', 'touch', '--no-dereference', `--date=${at}`, '{}', '+'], {
    timeoutMs: TIMEOUT_MS,
    env: buildEnv(epochSeconds),
  })
}

/** Sets the times of access and change of all files of a new ext4 file system, which mke2fs takes from the tree and
 *  nobody can set there. `device` is a file, with `?offset=BYTES` behind it where the file system stands inside. */
export async function settleExt4(device: string, opts: { workDir: string; epochSeconds: number }): Promise<void> {
  const env = { ...ext4Env(opts.epochSeconds), LC_ALL: 'C.UTF-8' }
  const groups = await runOk(['dumpe2fs', device], { timeoutMs: TIMEOUT_MS, env })
  const commands = usedInodes(groups).flatMap((inode) => [
    `set_inode_field <${inode}> atime @${opts.epochSeconds}`,
    `set_inode_field <${inode}> ctime @${opts.epochSeconds}`,
    `set_inode_field <${inode}> atime_extra 0`,
    `set_inode_field <${inode}> ctime_extra 0`,
  ])
  const script = join(opts.workDir, 'settle.debugfs')
  await writeFile(script, `${commands.join('\n')}\n`)
  await runOk(['debugfs', '-w', '-f', script, device], { timeoutMs: TIMEOUT_MS, env, maxBytes: 64 * 1024 * 1024 })
}

/** Numbers of the inodes that are in use, from what dumpe2fs says of the groups. */
export function usedInodes(dumped: string): number[] {
  const total = Number(/^Inode count:\s+(\d+)$/m.exec(dumped)?.[1])
  const perGroup = Number(/^Inodes per group:\s+(\d+)$/m.exec(dumped)?.[1])
  const lines = [...dumped.matchAll(/^ {2}Free inodes:[ \t]*(.*)$/gm)].map(([, text = '']) => text)
  if (!(total > 0) || !(perGroup > 0) || lines.length !== Math.ceil(total / perGroup))
    throw new Fault('run.failed', 'dumpe2fs did not tell the inodes of each group')
  const free = new Set<number>()
  for (const range of lines.flatMap((line) => line.split(',')).filter((text) => text.trim() !== '')) {
    const [from, to = from] = range.trim().split('-').map(Number)
    for (let inode = from ?? 0; inode <= (to ?? 0); inode += 1) free.add(inode)
  }
  const used = [ROOT_INODE]
  for (let inode = FIRST_OWN_INODE; inode <= total; inode += 1) if (!free.has(inode)) used.push(inode)
  return used
}
