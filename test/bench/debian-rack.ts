/** What benchmarks of deploys share: the ramdisk and the image, the virtual server, and when its system is up. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { debianFor } from '../../cli/image-debian.ts'
import { defaultCache, ramdiskFor } from '../../cli/image.ts'
import type { ImageIndex } from '../../images/index.ts'
import { until } from '../../kit/clock.ts'
import { run } from '../../kit/run.ts'
import { chooseAccel } from '../lab/accel.ts'
import type { Rack } from '../lab/rack.ts'
import type { Firmware, Server } from '../lab/server.ts'

const GIB = 1024 ** 3
/** Of a second, in /proc: USER_HZ. */
const TICKS = 100
export const WAIT_MS = 10 * 60_000
/** The first address of the rack's pool. */
const ADDRESS = '10.77.0.100'

export interface Made {
  readonly ramdisk: { readonly kernel: string; readonly initrd: string; readonly sizeBytes: number }
  readonly image: ImageIndex
  readonly imageStore: string
  readonly accel: 'kvm' | 'tcg'
}

export async function makeAll(say: (line: string) => void): Promise<Made> {
  const cache = defaultCache()
  const imageStore = join(cache, 'images')
  const ramdisk = await ramdiskFor(cache, say)
  const image = await debianFor(imageStore, cache, { say })
  return { ramdisk, image, imageStore, accel: await chooseAccel(ramdisk.kernel) }
}

export const benchServer = (firmware: Firmware) => ({
  name: 'bench-1',
  firmware,
  card: 'virtio' as const,
  diskKind: 'virtio' as const,
  diskBytes: 6 * GIB,
  memoryMb: 1024,
})

export const seconds = (fromMs: number, toMs: number): number => Math.round((toMs - fromMs) / 100) / 10

/** What the guest has cost since it was switched on, in seconds of a core: a figure that other work on the machine does
 *  not move as it moves the time. */
export async function guestCpu({ dir }: Pick<Server, 'dir'>): Promise<number> {
  const pid = (await readFile(join(dir, 'pid'), 'utf8')).trim()
  // proc(5): utime and stime are the 14th and the 15th; the second, a name in brackets, may have blanks.
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).replace(/^.*\) /s, '').split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS
}

/** The SSH server of the only node says its version: the system is up as far as a login needs. Answers when. */
export async function sshAnswers(rack: Rack): Promise<number> {
  const argv = rack.in(['timeout', '2', 'bash', '-c', `exec 3<>/dev/tcp/${ADDRESS}/22; head -c 7 <&3`])
  await until(async () => (await run(argv, { timeoutMs: 10_000 })).stdout.startsWith('SSH-2.0'), {
    what: `SSH at ${ADDRESS}`,
    timeoutMs: WAIT_MS,
    everyMs: 200,
  })
  return Date.now()
}
