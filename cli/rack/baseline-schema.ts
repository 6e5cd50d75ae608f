/** Baselines in a rack file: the BIOS settings and the firmware that a server shall have. */
import { z } from '../../conductor/api/node-input.ts'
import { hasUser } from './addresses.ts'

const SettingValue = z.union([z.string().max(255), z.number(), z.boolean()])
export const Bios = z
  .record(z.string().min(1).max(255), SettingValue)
  .refine((settings) => Object.keys(settings).length <= 100, 'names more than 100 settings')
  .describe('BIOS settings that the server shall have; those that are not named stay as they are.')

export const Firmware = z
  .record(
    z.string().regex(/^(bios|bmc|nic:.{1,255})$/, 'is not one of bios, bmc and nic:SERIAL'),
    z.strictObject({
      version: z.string().min(1).max(255).describe('As the server names it once it is installed.'),
      url: z
        .url({ protocol: /^(https?|file)$/ })
        .max(2048)
        .refine((url) => !hasUser(url), 'has a user or a password, which all readers would see'),
      checksum: z
        .string()
        .regex(/^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/i, 'is not sha256:HEX or sha512:HEX')
        .optional(),
      wait: z.number().int().min(1).max(86_400).optional().describe('Seconds before the next component.'),
    }),
  )
  .refine((components) => Object.keys(components).length <= 16, 'names more than 16 components')
  .describe('Firmware that the server shall have: bios, bmc or nic:SERIAL.')
