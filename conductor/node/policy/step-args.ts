/** Arguments of steps that change settings and firmware, as Ironic's clients send them. */
import * as z from 'zod'

export const BiosSettings = z.strictObject({
  settings: z
    .array(
      z.strictObject({ name: z.string().max(255), value: z.union([z.string().max(255), z.number(), z.boolean()]) }),
    )
    .min(1)
    .max(100)
    .describe('the BIOS settings to apply, as a list of {name, value}'),
})

export const FirmwareUpdates = z.strictObject({
  settings: z
    .array(
      z.strictObject({
        component: z.string().max(64),
        url: z.string().min(1).max(2048),
        checksum: z.string().max(140).optional(),
        wait: z.number().int().min(1).optional(),
      }),
    )
    .min(1)
    .max(100)
    .describe('the firmware to install, as a list of {component, url, checksum, wait (seconds)}'),
})

/** The same through a BMC: the file is checked before it is installed, and one component stands in it once. */
export const CheckedUpdates = z.strictObject({
  settings: z
    .array(
      z.strictObject({
        component: z.string().regex(/^(bios|bmc|nic:.{1,255})$/, 'is not one of bios, bmc and nic:SERIAL'),
        url: z.string().min(1).max(2048),
        checksum: z.string().max(140).optional(),
        wait: z.number().int().min(1).max(86_400).optional(),
      }),
    )
    .min(1)
    .max(16)
    .refine((list) => new Set(list.map(({ component }) => component)).size === list.length, 'names a component twice')
    .describe(
      'the firmware to install, as a list of {component, url, checksum (sha256:HEX), wait (seconds before the next one)}',
    ),
})
