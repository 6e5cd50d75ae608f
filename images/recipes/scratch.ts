/** The directories that builds work in. Each goes with its build; what a build that was killed has left is found by a
 *  later one, and goes with everything that is still mounted below it. */
import { mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { Fault } from '../../kit/fault.ts'
import { isRunning, runOk } from '../../kit/run.ts'

const TIMEOUT_MS = 60_000
/** Names end with the process that they belong to. */
const SCRATCH = /(?:\.part|-work)-(\d+)$/

/** Runs `build` in `<root>/<name>-<pid>`, which is removed in the end. `name` ends in `.part` or `-work`. */
export async function inScratch<T>(
  { root, name }: { readonly root: string; readonly name: string },
  build: (dir: string) => Promise<T>,
): Promise<T> {
  await removeDead(root)
  const dir = join(root, `${name}-${process.pid}`)
  await removeTree(dir)
  await mkdir(dir, { recursive: true })
  try {
    return await build(dir)
  } finally {
    await removeTree(dir)
  }
}

async function removeDead(root: string): Promise<void> {
  for (const name of await readdir(root).catch(() => [])) {
    const [, pid] = SCRATCH.exec(name) ?? []
    if (pid !== undefined && !isRunning(Number(pid))) await removeTree(join(root, name))
  }
}

/** Never reaches through a mount: /dev and /sys of this machine may stand below. Throws `run.failed` when something
 *  stays mounted. */
export async function removeTree(path: string): Promise<void> {
  const mounted = await mountsBelow(path)
  // The last one first: a mount may stand on another one.
  for (const at of mounted.reverse()) await runOk(['umount', '--lazy', at], { timeoutMs: TIMEOUT_MS })
  const [left] = await mountsBelow(path)
  if (left !== undefined) throw new Fault('run.failed', `${left} is still mounted: umount it before you build again`)
  await rm(path, { recursive: true, force: true })
}

/** In the order in which they were mounted. */
async function mountsBelow(path: string): Promise<string[]> {
  const dir = resolve(path)
  const text = await readFile('/proc/self/mountinfo', 'utf8')
  return text
    .split('\n')
    .map((line) =>
      (line.split(' ')[4] ?? '').replace(/\\(\d{3})/g, (_, octal) => String.fromCharCode(parseInt(octal, 8))),
    )
    .filter((at) => at === dir || at.startsWith(`${dir}/`))
}
