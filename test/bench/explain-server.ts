/** What is changed in a virtual server of the bench of `explain`: the script that starts it, its monitor, and a disk
 *  that a server starts from by itself. */
import { connect } from 'node:net'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { until } from '../../kit/clock.ts'
import type { Server } from '../lab/server.ts'
import { sh } from '../lab/shell.ts'

/** Changes the script that starts the server; what is not there to be changed is an error. */
export async function spoil(server: Server, from: string | RegExp, to: string): Promise<void> {
  const path = join(server.dir, 'chassis.sh')
  const before = await readFile(path, 'utf8')
  const after = typeof from === 'string' ? before.replace(from, () => to) : before.replace(from, to)
  if (after === before) throw new Error(`${server.name}: its script has no ${String(from)}`)
  await writeFile(path, after, { mode: 0o755 })
}

/** A word for QEMU's monitor, as soon as the guest is there. */
export async function hmp(server: Server, word: string): Promise<void> {
  await until(
    () =>
      new Promise<boolean>((resolve) => {
        const socket = connect(join(server.dir, 'monitor'))
        socket.once('error', () => resolve(false))
        socket.once('data', () => socket.end(`${word}\n`))
        socket.once('close', (failed) => resolve(!failed))
      }),
    { what: `the monitor of ${server.name}`, timeoutMs: 30_000, everyMs: 100 },
  )
}

/** Every write to this disk fails, as on one that is worn out. */
export async function wearOut(server: Server, number: number): Promise<void> {
  const rules = join(server.dir, 'worn-out')
  await writeFile(rules, '[inject-error]\nevent = "write_aio"\nerrno = "5"\n')
  const disk = number === 0 ? server.diskFile : `${server.diskFile}.${number}`
  await spoil(server, `file=${disk},`, `file=blkdebug:${rules}:${disk},`)
}

/** A disk with a system of its own for UEFI firmware: the kernel alone, which finds no root and stays there. */
export async function makeOwnSystem(path: string, kernel: string): Promise<void> {
  const offset = 1024 * 1024
  await sh(['truncate', '-s', '64M', path])
  await sh(['sh', '-c', `printf 'start=1MiB, size=60MiB, type=U\\n' | sfdisk --quiet --label gpt ${path}`])
  await sh(['mkfs.vfat', '--offset', String(offset / 512), path, String(58 * 1024)])
  const disk = ['-i', `${path}@@${offset}`]
  await sh(['mmd', ...disk, '::/EFI', '::/EFI/BOOT'])
  await sh(['mcopy', ...disk, kernel, '::/EFI/BOOT/BOOTX64.EFI'])
}
