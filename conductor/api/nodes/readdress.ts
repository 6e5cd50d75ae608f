/** Who points a node at another BMC, or at an image of another registry, sends a stored secret there: a user of a
 *  project gives the secret anew with it. */
import { Fault } from '../../../kit/fault.ts'
import { isOci, parseOci } from '../../../images/oci-reference.ts'
import { bmcAddressKeys } from '../../bmc/address.ts'
import type { NodeRecord } from '../../node/record.ts'
import { isSecretKey } from '../../store/secrets.ts'
import type { Actor } from '../auth.ts'
import { MASK, maskSecrets } from '../views.ts'

/** `patched`: what the patch makes of driver_info with its secrets masked; a mask in it was kept and not given. Throws
 *  `input.missing`. */
export function checkReaddress(
  actor: Actor,
  node: NodeRecord,
  patched: { driver: string; driverInfo: Readonly<Record<string, unknown>> },
): void {
  if (actor.project === null) return
  const keys = new Set([...bmcAddressKeys(node.driver), ...bmcAddressKeys(patched.driver)])
  const moved = [...keys].find((key) => patched.driverInfo[key] !== node.driverInfo[key])
  if (moved === undefined) return
  const kept = Object.keys(patched.driverInfo).find((key) => isSecretKey(key) && patched.driverInfo[key] === MASK)
  if (kept !== undefined)
    throw new Fault('input.missing', `driver_info/${moved} changes: give driver_info/${kept} again, or remove it`)
}

const SOURCES = ['image_source', 'kernel', 'ramdisk', 'boot_iso'] as const

/** The same for the secret that pulls images. Without a source, the next one is another registry. */
export function checkPullSecret(actor: Actor, node: NodeRecord, patched: Readonly<Record<string, unknown>>): void {
  if (actor.project === null || patched.image_pull_secret !== MASK) return
  const before = new Set(SOURCES.map((key) => registryOf(node.instanceInfo[key])))
  const moved = SOURCES.find((key) => {
    const host = registryOf(patched[key])
    return host !== undefined && !before.has(host)
  })
  if (moved !== undefined)
    throw new Fault(
      'input.missing',
      `instance_info/${moved} names another registry: give instance_info/image_pull_secret again, or remove it`,
    )
}

/** Undefined: it is no artifact of a registry; one that cannot be read is no registry that was known. */
function registryOf(source: unknown): string | undefined {
  if (typeof source !== 'string' || !isOci(source)) return undefined
  try {
    return parseOci(source).host
  } catch {
    return ''
  }
}

/** The patchable part of a node as a client sees it. */
export const maskedWire = (wire: Readonly<Record<string, unknown>>): Record<string, unknown> => ({
  ...wire,
  driver_info: maskSecrets((wire.driver_info ?? {}) as Record<string, unknown>),
  instance_info: maskSecrets((wire.instance_info ?? {}) as Record<string, unknown>),
})
