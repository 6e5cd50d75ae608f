/** Steps that change the keys of Secure Boot. Names are Ironic's; it has none that adds a certificate. */
import * as z from 'zod'
import type { KnownStep } from './steps.ts'

const MAX_CERTIFICATES = 16
const MAX_PEM = 16_384

const Certificates = z.strictObject({
  certificates: z
    .array(
      z
        .string()
        .max(MAX_PEM)
        .regex(
          /^\s*-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----\s*$/,
          'is no certificate in PEM',
        ),
    )
    .min(1)
    .max(MAX_CERTIFICATES)
    .describe('certificates in PEM, which are added to the database db'),
})

const OF = ['redfish', 'idrac-redfish'] as const

export const SECURE_BOOT_STEPS: Readonly<
  Record<string, KnownStep & { readonly by: 'bmc'; readonly of: readonly string[] }>
> = {
  'management.reset_secure_boot_keys_to_default': {
    in: { clean: 0 },
    by: 'bmc',
    of: OF,
    says: 'Secure Boot gets the keys of the manufacturer',
  },
  'management.clear_secure_boot_keys': {
    in: { clean: 0 },
    by: 'bmc',
    of: OF,
    says: 'Secure Boot loses all its keys, which leaves setup mode',
  },
  'management.enroll_secure_boot_certificates': {
    in: { clean: 0, deploy: 0, service: 0 },
    by: 'bmc',
    of: OF,
    says: 'certificates are added to the database db of Secure Boot; those that are there stay',
    args: Certificates,
  },
}
