/** The rescue login: an SSH server for the user `rescue`, whose password the owner chose. The rescue ramdisk alone has
 *  one; the ramdisk that deploys listens on nothing. */
import { access, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Fault } from '../../kit/fault.ts'
import { launch, type Run } from '../../kit/run.ts'

const TIMEOUT_MS = 10_000
/** crypt(3): `$6$salt$hash`, and nothing that would be a second line or field of shadow(5). */
const HASH = /^\$[0-9a-z]{1,2}\$[A-Za-z0-9./$=,-]{10,200}$/
let running = false

/** `root` is the ramdisk's. Throws `agent.broken` in one that was not made for rescue. */
export async function openRescue(
  passwordHash: string,
  { run, root = '/' }: { run: Run; root?: string },
): Promise<void> {
  const dropbear = join(root, 'usr/sbin/dropbear')
  if (!HASH.test(passwordHash)) throw new Fault('agent.broken', 'the conductor sent no password hash')
  await access(dropbear).catch((error: Error) => {
    throw new Fault('agent.broken', 'this ramdisk has no login: it was not booted for rescue', { cause: error })
  })
  await writeFile(join(root, 'etc/shadow'), `root:*:19000:0:99999:7:::\nrescue:${passwordHash}:19000:0:99999:7:::\n`, {
    mode: 0o600,
  })
  if (running) return
  // What a person expects of a shell; names that are there already stay.
  await run(['busybox', '--install', '-s'], { timeoutMs: TIMEOUT_MS })
  await mkdir('/dev/pts', { recursive: true })
  await run(['busybox', 'mount', '-t', 'devpts', 'devpts', '/dev/pts'], { timeoutMs: TIMEOUT_MS })
  launch([dropbear, '-F', '-R', '-p', '22'])
  running = true
}
