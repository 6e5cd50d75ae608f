/** Where the deploy ramdisk and the scripts of a boot are served, as loaders are told it; a proof of the boot is held
 *  against the same words. Pure. */
import type { BootOrder } from '../../pxe/script.ts'
import type { BootConfig } from '../config.ts'
import { SCRIPT_NAMES, type ScriptLoader } from './boot-target.ts'

type HttpAt = Pick<BootConfig, 'http' | 'https'>
/** By which a client asks: only who asks by HTTPS is known to have TLS. */
export type Scheme = 'http' | 'https'

export const secureOrigin = ({ url, address, port }: NonNullable<BootConfig['https']>): string =>
  url ?? `https://${address}:${port}`

export const bootUrl = ({ http, https }: HttpAt, path: string, scheme: Scheme = 'http'): string =>
  scheme === 'https' && https ? new URL(path, secureOrigin(https)).href : `http://${http.address}:${http.port}${path}`

/** Where firmware that boots by HTTP fetches its loader; ends with a slash. */
export const loaderUrl = (boot: HttpAt): string => bootUrl(boot, '/loader/', 'https')

export const scriptUrl = (
  boot: HttpAt,
  mac: string,
  { loader = 'ipxe', scheme = 'http' }: { loader?: ScriptLoader; scheme?: Scheme } = {},
): string => bootUrl(boot, `/boot/${mac.replaceAll(':', '-')}/${SCRIPT_NAMES[loader]}`, scheme)

/** Paths of kernel and initrd. `path`: of the ramdisk of an architecture. */
export const ramdiskPaths = (path: string, rescue: boolean) => ({
  kernelPath: `${path}/kernel`,
  initrdPath: `${path}/${rescue ? 'rescue' : 'initrd'}`,
})

export function ramdiskOrder(
  boot: HttpAt,
  ramdisk: { readonly path: string; readonly rescue: boolean; readonly args: string[]; readonly scheme?: Scheme },
): BootOrder & { readonly kind: 'kernel' } {
  const { kernelPath, initrdPath } = ramdiskPaths(ramdisk.path, ramdisk.rescue)
  return {
    kind: 'kernel',
    what: 'the deploy ramdisk',
    kernelUrl: bootUrl(boot, kernelPath, ramdisk.scheme),
    initrdUrl: bootUrl(boot, initrdPath, ramdisk.scheme),
    args: ramdisk.args,
  }
}
