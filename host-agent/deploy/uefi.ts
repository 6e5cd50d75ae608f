/** The boot entries of UEFI firmware that belong to Rackward: those of earlier deploys go, those of this one are the
 *  first to be tried. */
import { Fault } from '../../kit/fault.ts'
import { runOk } from '../../kit/run.ts'

const TIMEOUT_MS = 5 * 60_000
const LABEL = 'Rackward'
/** What firmware starts without an entry. */
const DEFAULT_LOADER = `\\EFI\\BOOT\\${process.arch === 'arm64' ? 'BOOTAA64' : 'BOOTX64'}.EFI`

/** Types of an EFI system partition in a GPT and in an MBR. */
export const ESP_TYPE: ReadonlySet<string> = new Set(['c12a7328-f81f-11d2-ba4b-00a0c93ec93b', 'ef'])

export interface EspPlace {
  readonly disk: string
  readonly partition: string
}

/** One entry for each place, tried in this order. Throws `deploy.firmware`. */
export async function makeUefiEntries(places: readonly EspPlace[], loader: string = DEFAULT_LOADER): Promise<void> {
  const said = await runOk(['efibootmgr'], { timeoutMs: TIMEOUT_MS }).catch((error: unknown) => {
    throw new Fault('deploy.firmware', 'the firmware does not show its boot entries', { cause: error })
  })
  for (const old of oldEntries(said))
    await runOk(['efibootmgr', '--quiet', '--bootnum', old, '--delete-bootnum'], { timeoutMs: TIMEOUT_MS })
  // Each new entry becomes the first.
  for (const { disk, partition } of [...places].reverse())
    await runOk(
      ['efibootmgr', '--quiet', '--create', '--disk', disk, '--part', partition, '--label', LABEL, '--loader', loader],
      { timeoutMs: TIMEOUT_MS },
    ).catch((error: Error) => {
      throw new Fault('deploy.firmware', `the boot entry could not be made: ${error.message}`, { cause: error })
    })
}

export const oldEntries = (text: string): string[] =>
  [...text.matchAll(new RegExp(`^Boot([0-9A-F]{4})[* ] ${LABEL}(?:\\t|$)`, 'gm'))].map((match) => match[1] as string)
