/** Whether the ramdisk comes to a node through loaders that firmware with Secure Boot takes: those of a directory,
 *  those in the boot ISO, or the signed ramdisk of the site. */
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { hasSignedIso } from '../../images/signed-iso.ts'
import { GRUB_LOADER, SHIM_LOADER } from '../../pxe/firmware.ts'
import type { BootConfig } from '../config.ts'
import type { NodeRecord } from '../node/record.ts'
import { bootsUki } from '../node/policy/firmware-target.ts'
import { bootPlanOf } from '../node/workflow/boot-plans.ts'

/** Looked at for each boot: both may be replaced while the conductor runs. */
export async function bootsThroughSigned(
  boot: Pick<BootConfig, 'iso' | 'loaders' | 'uki'> | undefined,
  node: Pick<NodeRecord, 'interfaces' | 'properties' | 'workflow'>,
): Promise<boolean> {
  if (!boot) return false
  if (!bootPlanOf(node).servesIso) {
    // A rescue does not boot the signed ramdisk.
    const bootsSite = boot.uki !== undefined && bootsUki(node) && node.workflow.order !== 'rescue'
    return bootsSite || hasSignedLoaders(boot.loaders)
  }
  // One that cannot be read cannot be served either: the boot will say so.
  return boot.iso !== undefined && (await hasSignedIso(boot.iso).catch(() => undefined)) === true
}

async function hasSignedLoaders(dir: string): Promise<boolean> {
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
