/** Enrolls keys of Secure Boot in firmware that is in setup mode, through efivarfs: each variable is one write, and is
 *  read back. The platform key comes last, and ends setup mode. */
import { open, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { KEY_VARIABLES, signatureLists, type KeyUpdates, type KeyVariable } from '../../conductor/api/agent-keys.ts'
import { Fault } from '../../kit/fault.ts'
import type { Run } from '../../kit/run.ts'

const EFIVARS = '/sys/firmware/efi/efivars'
/** EFI_GLOBAL_VARIABLE and EFI_IMAGE_SECURITY_DATABASE_GUID. */
const GLOBAL = '8be4df61-93ca-11d2-aa0d-00e098032b8c'
const SECURITY = 'd719b2cb-3d3a-4596-a3bc-dad00e67656f'
const FILES: Readonly<Record<KeyVariable, string>> = { db: `db-${SECURITY}`, KEK: `KEK-${GLOBAL}`, PK: `PK-${GLOBAL}` }
/** Non-volatile, boot service, runtime, time-based authenticated. */
const ATTRIBUTES = Buffer.from([0x27, 0, 0, 0])
const TIMEOUT_MS = 10_000

export interface KeyParts {
  readonly run: Run
  /** Where efivarfs is mounted, and how one of its files is written. */
  readonly efivars?: string
  readonly write?: typeof writeOnce
}

/** May be repeated: keys that are there already are no fault. Throws `clean.failed`. */
export async function enrollKeys(
  updates: KeyUpdates,
  { run, efivars = EFIVARS, write = writeOnce }: KeyParts,
): Promise<void> {
  const wanted = KEY_VARIABLES.map((name) => ({
    name,
    path: join(efivars, FILES[name]),
    update: Buffer.from(updates[name], 'base64'),
    lists: signatureLists(name, updates[name]),
  }))
  const setupMode = async () => (await valueOf(join(efivars, `SetupMode-${GLOBAL}`)))?.[0]
  const before = await setupMode()
  if (before === undefined)
    throw new Fault('clean.failed', 'the firmware shows no SetupMode: the server was not started by UEFI')
  if (before !== 1) {
    const there = await Promise.all(wanted.map(async ({ path, lists }) => (await valueOf(path))?.equals(lists)))
    if (there.every(Boolean)) return
    throw new Fault(
      'clean.failed',
      'the firmware has keys and is not in setup mode: clear them first with the step management.clear_secure_boot_keys',
    )
  }
  for (const { name, path, update, lists } of wanted) {
    // What is there, or was left by a write that the firmware refused, is immutable.
    if (await isThere(path)) await run(['chattr', '-i', path], { timeoutMs: TIMEOUT_MS })
    await write(path, Buffer.concat([ATTRIBUTES, update])).catch((error: unknown) => {
      throw new Fault('clean.failed', `the firmware refused ${name}: ${(error as Error).message}`, { cause: error })
    })
    if (!(await valueOf(path))?.equals(lists))
      throw new Fault('clean.failed', `the firmware took ${name}, and does not show its keys`)
  }
  if ((await setupMode()) !== 0)
    throw new Fault('clean.failed', 'the firmware took the keys, and is still in setup mode')
}

/** Without its attributes; undefined: there is no such variable. */
const valueOf = (path: string): Promise<Buffer | undefined> =>
  readFile(path).then(
    (bytes) => bytes.subarray(ATTRIBUTES.length),
    (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error
      return undefined
    },
  )

/** Firmware takes a variable by one write. */
async function writeOnce(path: string, bytes: Buffer): Promise<void> {
  const file = await open(path, 'w')
  try {
    await file.write(bytes)
  } finally {
    await file.close()
  }
}

const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )
