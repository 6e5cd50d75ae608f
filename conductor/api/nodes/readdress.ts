/** Who points a node at another BMC sends the stored password's proof there: a user of a project gives the password
 *  anew with it. */
import { Fault } from '../../../kit/fault.ts'
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

/** The patchable part of a node as a client sees it. */
export const maskedWire = (wire: Readonly<Record<string, unknown>>): Record<string, unknown> => ({
  ...wire,
  driver_info: maskSecrets((wire.driver_info ?? {}) as Record<string, unknown>),
})
