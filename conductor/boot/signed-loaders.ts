/** Whether a directory of loaders holds those that firmware with Secure Boot takes. */
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { GRUB_LOADER, SHIM_LOADER } from '../../pxe/firmware.ts'

export async function hasSignedLoaders(dir: string): Promise<boolean> {
  const sizes = await Promise.all(
    [SHIM_LOADER, GRUB_LOADER].map((name) =>
      stat(join(dir, name)).then(
        ({ size }) => size,
        () => 0,
      ),
    ),
  )
  return sizes.every((sizeBytes) => sizeBytes > 0)
}
