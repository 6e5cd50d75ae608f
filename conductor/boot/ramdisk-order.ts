/** Where the deploy ramdisk and the scripts of a boot are served, as loaders are told it; a proof of the boot is held
 *  against the same words. Pure. */
import type { BootOrder } from '../../pxe/script.ts'
import type { BootConfig } from '../config.ts'
import { SCRIPT_NAMES, type ScriptLoader } from './boot-target.ts'

type HttpAt = Pick<BootConfig, 'http'>

export const bootUrl = ({ http }: HttpAt, path: string): string => `http://${http.address}:${http.port}${path}`

/** Where firmware that boots by HTTP fetches its loader; ends with a slash. */
export const loaderUrl = (boot: HttpAt & Pick<BootConfig, 'https'>): string => {
  const { https } = boot
  if (!https) return bootUrl(boot, '/loader/')
  return new URL('/loader/', https.url ?? `https://${https.address}:${https.port}`).href
}

export const scriptUrl = (boot: HttpAt, mac: string, loader: ScriptLoader = 'ipxe'): string =>
  bootUrl(boot, `/boot/${mac.replaceAll(':', '-')}/${SCRIPT_NAMES[loader]}`)

/** Paths of kernel and initrd. `path`: of the ramdisk of an architecture. */
export const ramdiskPaths = (path: string, rescue: boolean) => ({
  kernelPath: `${path}/kernel`,
  initrdPath: `${path}/${rescue ? 'rescue' : 'initrd'}`,
})

export function ramdiskOrder(
  boot: HttpAt,
  ramdisk: { readonly path: string; readonly rescue: boolean; readonly args: string[] },
): BootOrder & { readonly kind: 'kernel' } {
  const { kernelPath, initrdPath } = ramdiskPaths(ramdisk.path, ramdisk.rescue)
  return {
    kind: 'kernel',
    what: 'the deploy ramdisk',
    kernelUrl: bootUrl(boot, kernelPath),
    initrdUrl: bootUrl(boot, initrdPath),
    args: ramdisk.args,
  }
}
