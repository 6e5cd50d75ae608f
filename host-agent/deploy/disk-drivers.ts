/** The modules that drive a disk: its own, and those of every device on the way to it. */
import { readlink, realpath } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

/** Sorted. What is part of the kernel has no module. None of a disk that sysfs does not show: the image is on it by
 *  now, and a look that fails must not cost the deploy. */
export async function readDrivers(disk: string, sys = '/sys'): Promise<string[]> {
  const root = join(await realpath(sys), 'devices')
  const modules = new Set<string>()
  const device = await realpath(join(sys, 'block', basename(disk))).catch(() => '')
  for (let at = device; at.startsWith(`${root}/`); at = dirname(at)) {
    const module = await readlink(join(at, 'driver/module')).catch(() => undefined)
    if (module !== undefined) modules.add(basename(module).replaceAll('-', '_'))
  }
  return [...modules].sort()
}
