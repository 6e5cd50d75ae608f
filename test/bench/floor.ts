/** The parts of the floors that deploys are measured against, on the same virtual server in the same run: a ramdisk
 *  with a shell instead of the agent, the raw bytes of the image, and marks on the console. */
import { createWriteStream } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { runOk } from '../../kit/run.ts'
import { until } from '../../kit/clock.ts'
import type { ImageIndex } from '../../images/index.ts'
import { pieceLength } from '../../images/index.ts'
import { zstdDecompress } from '../images/zstd.ts'
import type { ImageStore } from '../../images/store.ts'

/** Says when the shell is there, and begins. */
const FLOOR_INIT = `#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs devtmpfs /dev
export PATH=/usr/bin:/usr/sbin:/bin:/sbin
echo 4 > /proc/sys/kernel/printk
load() { /bin/busybox find /sys/devices -name modalias -exec /bin/busybox cat {} + | /bin/busybox sort -u | /bin/busybox xargs modprobe -abq; }
load; load; modprobe -abq sd_mod
echo FLOOR-SHELL
`

/** Copies, and says when that is done. */
export const COPY = `/bin/busybox dd if=/dev/vdb of=/dev/vda bs=4M conv=fsync
echo FLOOR-DD
/bin/busybox sleep 3600
`

/** The ramdisk with an init that does `work` on top: the kernel unpacks one archive over the other. */
export async function floorInitrd(initrd: string, dir: string, work: string): Promise<string> {
  const top = join(dir, 'floor-top')
  await mkdir(top, { recursive: true })
  await writeFile(join(top, 'init'), `${FLOOR_INIT}${work}`, { mode: 0o755 })
  await runOk(
    [
      'bash',
      '-euo',
      'pipefail',
      '-c',
      'cd "$1" && echo init | cpio --quiet -o -H newc -R 0:0 | zstd -q -f -o "$2"',
      'pack',
      top,
      join(dir, 'floor.zst'),
    ],
    { timeoutMs: 60_000 },
  )
  const out = join(dir, 'floor-initrd')
  await writeFile(out, Buffer.concat([await readFile(initrd), await readFile(join(dir, 'floor.zst'))]))
  return out
}

/** The raw bytes of an image of the store, as a file, or in a file from a place on. */
export async function rawFile(store: ImageStore, image: ImageIndex, to: string, start = 0): Promise<void> {
  const data = await readFile(store.dataPath(image.id))
  const out = createWriteStream(to, start > 0 ? { flags: 'r+', start } : {})
  for (const [number, piece] of image.pieces.entries()) {
    const bytes = piece.zero
      ? Buffer.alloc(pieceLength(image, number))
      : await zstdDecompress(data.subarray(piece.at, piece.at + piece.lengthBytes))
    if (!out.write(bytes)) await new Promise<void>((resolve) => out.once('drain', () => resolve()))
  }
  await new Promise<void>((resolve) => out.end(() => resolve()))
}

/** Waits until a marker stands on a console; answers when it was seen, in milliseconds. */
export async function marker(console: string, text: string, timeoutMs: number): Promise<number> {
  await until(async () => (await readFile(console, 'latin1').catch(() => '')).includes(text), {
    what: text,
    timeoutMs,
    everyMs: 100,
  })
  return Date.now()
}
