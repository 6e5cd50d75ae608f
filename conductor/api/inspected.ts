/** What an agent of Ironic reports of a machine (POST /v1/continue_inspection). */
import { Dict, z } from './node-input.ts'

export const Inspected = z
  .looseObject({
    inventory: z.looseObject({
      interfaces: z
        .array(z.looseObject({ mac_address: z.string().max(64) }))
        .min(1)
        .max(256),
      cpu: z
        .looseObject({ count: z.number().int().optional(), architecture: z.string().max(32).optional() })
        .optional(),
      memory: z.looseObject({ physical_mb: z.number().nullish() }).optional(),
      disks: z.array(Dict).max(1024).optional(),
      boot: z
        .looseObject({
          current_boot_mode: z.enum(['uefi', 'bios']).nullish(),
          pxe_interface: z.string().max(64).nullish(),
        })
        .optional(),
      system_vendor: z
        .looseObject({ manufacturer: z.string().max(256).nullish(), product_name: z.string().max(256).nullish() })
        .nullish(),
    }),
    error: z.string().max(4096).nullish(),
  })
  .describe('what the agent found')
export type Inspected = z.infer<typeof Inspected>
