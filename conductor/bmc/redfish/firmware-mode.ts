/** Boot mode and Secure Boot through Redfish. */
import { Fault } from '../../../kit/fault.ts'
import type { FirmwareMode } from '../parts/firmware-mode.ts'
import { overrideMode, setOverrideMode } from './boot.ts'
import { enroll, isEnrolled, readSecureBoot, resetKeys, setSecureBoot } from './secure-boot.ts'
import { readSystem, type At } from './system.ts'

/** Names Rackward as the owner of the signatures that it adds (UEFI 2.10, EFI_SIGNATURE_DATA.SignatureOwner). */
const SIGNATURE_OWNER = '5b8d3c1e-7f62-4d0a-9a57-3e1c2f6b8a90'

export const redfishFirmwareMode = (at: At): FirmwareMode => ({
  read: (signal) =>
    at(signal, async ({ client, path }) => {
      const { body } = await readSystem(client, path, signal)
      return { bootMode: overrideMode(body), secureBoot: await readSecureBoot(client, body, signal) }
    }),
  setBootMode: (mode, signal) => at(signal, (parts) => setOverrideMode(parts, mode, signal)),
  setSecureBoot: (on, signal) =>
    at(signal, async ({ client, path }) => {
      const { body: system } = await readSystem(client, path, signal)
      if (on && overrideMode(system) === 'bios')
        throw new Fault('node.unsupported', 'Secure Boot needs the boot mode uefi, and the server starts by BIOS')
      await setSecureBoot(client, { system, on }, signal)
    }),
  resetKeys: (how, signal) =>
    at(signal, async ({ client, path }) => {
      await resetKeys(client, { system: (await readSystem(client, path, signal)).body, how }, signal)
    }),
  enroll: (pem, signal) =>
    at(signal, async ({ client, path }) => {
      const { body: system } = await readSystem(client, path, signal)
      return enroll(client, { system, pem, owner: SIGNATURE_OWNER }, signal)
    }),
  isEnrolled: (pem, signal) =>
    at(signal, async ({ client, path }) => {
      const { body: system } = await readSystem(client, path, signal)
      return isEnrolled(client, { system, pem }, signal)
    }),
})
