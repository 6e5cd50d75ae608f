/** What the step of the ramdisk takes that gives keys of one's own to firmware in setup mode. It works wherever keys
 *  can be cleared, with every BMC. */
import * as z from 'zod'
import { KEY_VARIABLES, KeyUpdates, signatureLists, type KeyVariable } from '../../api/agent-keys.ts'
import { Fault } from '../../../kit/fault.ts'

const update = (variable: KeyVariable, of: string) =>
  z
    .string()
    .refine((text) => KeyUpdates.shape[variable].safeParse(text).success, 'is no base64 of at most 64 KiB')
    .refine((text) => isUpdate(variable, text), 'is no signed update of a variable (.auth) in base64')
    .describe(`${of}: a signed update of the variable ${variable} (.auth) in base64`)

function isUpdate(variable: KeyVariable, text: string): boolean {
  try {
    return signatureLists(variable, text).length > 0
  } catch (error) {
    if (error instanceof Fault) return false
    throw error
  }
}

const OF: Readonly<Record<KeyVariable, string>> = {
  db: 'what may be started',
  KEK: 'who may change that',
  PK: 'the platform key, signed by itself, which ends setup mode',
}

export const SetupModeKeys = z.strictObject({
  [KEY_VARIABLES[0]]: update('db', OF.db),
  [KEY_VARIABLES[1]]: update('KEK', OF.KEK),
  [KEY_VARIABLES[2]]: update('PK', OF.PK),
})
