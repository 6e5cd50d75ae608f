/** A static busybox out of Debian's package, which the deploy ramdisk is made of as well. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { defaultCache } from '../../cli/image.ts'
import { runOk } from '../../kit/run.ts'

/** Unpacks it below `dir`, and answers where it is. */
export async function debianBusybox(dir: string): Promise<string> {
  const cache = defaultCache()
  const base = (await readdir(cache)).filter((name) => name.startsWith('ramdisk-base-')).sort()[0]
  const script = 'cd "$1" && zstd -dcq "$2" | cpio --quiet -id usr/bin/busybox ./usr/bin/busybox'
  await runOk(['bash', '-euo', 'pipefail', '-c', script, 'unpack', dir, join(cache, base ?? '', 'base.zst')], {
    timeoutMs: 60_000,
  })
  return join(dir, 'usr/bin/busybox')
}
