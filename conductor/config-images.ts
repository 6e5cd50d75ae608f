/** The configuration key `images`: the image store, where images may come from, and the account at Glance. */
import * as z from 'zod'
import { publicKeyId } from '../images/signature.ts'
import { File, Url } from './config-values.ts'

const InCatalogue = {
  authUrl: Url.describe('Keystone, such as https://keystone:5000/v3.'),
  region: z.string().optional().describe('Region of Glance in the catalogue. Absent: the first.'),
  interface: z
    .enum(['public', 'internal', 'admin'])
    .default('internal')
    .describe('Interface of Glance in the catalogue.'),
}
const GlanceAuth = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('none').describe('Glance asks nobody who they are.') }),
  z.strictObject({
    type: z.literal('basic').describe('HTTP Basic.'),
    username: z.string().min(1).describe('User that reads images.'),
    passwordFile: File.describe('File of mode 0600 with the password of the user.'),
  }),
  z.strictObject({
    type: z.literal('password').describe('A user of Keystone.'),
    ...InCatalogue,
    username: z.string().min(1).describe('User that reads images.'),
    passwordFile: File.describe('File of mode 0600 with the password of the user.'),
    userDomain: z.string().default('Default').describe('Domain of the user.'),
    project: z.string().min(1).describe('Project of the token.'),
    projectDomain: z.string().default('Default').describe('Domain of the project.'),
  }),
  z.strictObject({
    type: z.literal('application_credential').describe('An application credential of Keystone.'),
    ...InCatalogue,
    id: z.string().min(1).describe('Id of the application credential.'),
    secretFile: File.describe('File of mode 0600 with the secret of the application credential.'),
  }),
])
const GlanceConfig = z.strictObject({
  url: Url.optional().describe('URL of Glance. Absent: the one in the catalogue of Keystone.'),
  caFile: File.optional().describe('CA certificates (PEM) for Keystone and Glance.'),
  auth: GlanceAuth.describe('The account that reads images.'),
})

const Swarm = z.strictObject({
  enabled: z
    .boolean()
    .default(true)
    .describe(
      'Whether nodes that write the same image serve its pieces to each other. While they do, each listens on ' +
        'its provisioning address; only other nodes that write this image now can fetch from it.',
    ),
  fromNodes: z
    .number()
    .int()
    .min(2)
    .max(100_000)
    .default(3)
    .describe('Nodes that write one image at the same time, from which on they serve each other.'),
  uploadMbitPerSecond: z
    .number()
    .min(1)
    .max(1_000_000)
    .optional()
    .describe('What each of them sends to others at most. Absent: four fifths of the speed of its network card.'),
})

const hours = (byDefault: number, describe: string) =>
  z.number().min(0).max(87_600).default(byDefault).describe(describe)

const Gc = z.strictObject({
  everyHours: hours(24, 'How often images that nobody needs are removed; 0: only by rackward image gc.'),
  keepUnusedHours: hours(
    336,
    'How long an image is kept that no node, roll-out or request refers to and that nobody gave a name.',
  ),
})

const Oci = z.strictObject({
  authFile: File.optional().describe(
    'File of mode 0600 with secrets by registry, as docker login and podman login write it; read for each pull. ' +
      'instance_info/image_pull_secret comes before it.',
  ),
  caFile: File.optional().describe('CA certificates (PEM) for registries, beside the public ones.'),
  plainHttp: z
    .array(z.string().min(1).max(255).toLowerCase())
    .default([])
    .describe('Registries, as HOST or HOST:PORT, that are asked by HTTP without TLS.'),
})

const S3 = z.strictObject({
  endpoint: Url.refine(
    (text) => !URL.canParse(text) || (new URL(text).pathname === '/' && new URL(text).search === ''),
    'has a path: an endpoint has none',
  ).describe('URL of the storage, such as https://s3.eu-central-1.amazonaws.com.'),
  region: z.string().min(1).max(64).default('us-east-1').describe('Region that requests are signed for.'),
  pathStyle: z
    .boolean()
    .default(true)
    .describe('Whether the bucket stands in the path of URLs; false: before the host, as AWS wants it.'),
  accessKeyId: z.string().min(1).max(128).describe('Access key that reads images.'),
  secretKeyFile: File.describe('File of mode 0600 with the secret of the access key.'),
  buckets: z
    .array(z.string().min(3).max(63))
    .min(1)
    .describe('Buckets that image sources may name: every project can deploy what is in them.'),
  caFile: File.optional().describe('CA certificates (PEM) for the storage.'),
})

const TrustedKey = z
  .string()
  .max(4_096)
  .superRefine((text, context) => {
    try {
      publicKeyId(text)
    } catch (error) {
      context.addIssue({ code: 'custom', message: error instanceof Error ? error.message : String(error) })
    }
  })

export const Images = z.strictObject({
  gc: Gc.prefault({}).describe('Removal of images that nobody needs.'),
  scrubHours: hours(
    168,
    'How often every piece in the store is read and proven; a damaged image is fetched again from where it came. ' +
      '0: only those that an agent found damaged.',
  ),
  swarm: Swarm.prefault({}).describe('Nodes that write the same image serve its pieces to each other.'),
  store: File.describe('Directory of the image store.'),
  trustedKeys: z
    .array(TrustedKey)
    .max(100)
    .default([])
    .describe(
      'Ed25519 public keys in PEM. Where there are any, only images that one of them signed become versions and ' +
        'are deployed to disks; images of URLs and registries are not fetched.',
    ),
  allowedFilePaths: z
    .array(z.string().startsWith('/'))
    .default(['/var/lib/rackward/sources'])
    .describe('Directories that file:// image sources may name.'),
  allowedHosts: z
    .array(z.string().min(1).max(255))
    .default([])
    .describe(
      'Hosts, as they stand in URLs, that image sources may name although they are this machine, or on a ' +
        'loopback or link-local address.',
    ),
  uncheckedBootFiles: z
    .boolean()
    .default(false)
    .describe(
      'Whether kernel, ramdisk and boot_iso of a node with deploy_interface ramdisk may come without a checksum; ' +
        'such a file is fetched anew for each deploy.',
    ),
  unsignedBootFiles: z
    .boolean()
    .default(false)
    .describe(
      'Where there are trustedKeys: whether a node with deploy_interface ramdisk may boot kernel, ramdisk or ' +
        'boot_iso all the same. Nobody can sign those; their checksum comes from whoever orders the deploy.',
    ),
  oci: Oci.prefault({}).describe('Registries of OCI artifacts, for image sources oci://HOST/REPOSITORY.'),
  s3: S3.optional().describe('S3-compatible storage, for image sources s3://BUCKET/KEY.'),
  glance: GlanceConfig.refine(
    ({ url, auth }) => url !== undefined || auth.type === 'password' || auth.type === 'application_credential',
    'needs a url: only Keystone has a catalogue',
  )
    .optional()
    .describe('An OpenStack Image service, so that image sources may be UUIDs of its images, as Nova sends them.'),
})
