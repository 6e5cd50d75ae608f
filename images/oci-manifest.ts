/** Manifests and indexes of the OCI Image Specification: which manifest of an index has the disk image for a server,
 *  and which blob of it the image is. Pure; what a registry said is hostile until it is parsed here. */
import * as z from 'zod/mini'
import { architectureOf, type Architecture } from '../kit/architecture.ts'
import { Fault } from '../kit/fault.ts'
import { isDeeper } from '../kit/json-depth.ts'
import { parsedOr } from '../kit/json.ts'
import { parseChecksum, type Checksum } from './checksum.ts'

export const MANIFEST_TYPES: readonly string[] = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.docker.distribution.manifest.v2+json',
]
/** What the configuration of a container image is. */
const CONTAINER_CONFIGS: ReadonlySet<string> = new Set([
  'application/vnd.oci.image.config.v1+json',
  'application/vnd.docker.container.image.v1+json',
])
/** Formats by the annotation `disktype`, as Ironic and podman-machine write it. The smaller file comes first. */
const DISK_TYPES = ['qcow2', 'qemu', 'raw', 'applehv']
const UNTYPED = DISK_TYPES.length
const MAX_DEPTH = 16

const Annotations = z.optional(z.record(z.string(), z.string()))
const Descriptor = z.object({
  mediaType: z.optional(z.string()),
  digest: z.string(),
  annotations: Annotations,
  platform: z.optional(z.object({ architecture: z.optional(z.string()) })),
})
const Document = z.object({
  artifactType: z.optional(z.string()),
  annotations: Annotations,
  config: z.optional(z.object({ mediaType: z.optional(z.string()) })),
  layers: z.optional(z.array(Descriptor)),
  manifests: z.optional(z.array(Descriptor)),
})
type Descriptor = z.infer<typeof Descriptor>
export type OciDocument = z.infer<typeof Document>

export interface Candidate {
  readonly digest: Checksum
  readonly diskType: string | undefined
}

/** Throws `image.source`. */
export function parseDocument(body: Buffer, what: string): OciDocument {
  const found = isDeeper(body, MAX_DEPTH) ? undefined : Document.safeParse(parsedOr(body.toString(), undefined))
  if (!found?.success || (found.data.layers === undefined) === (found.data.manifests === undefined))
    throw new Fault('image.source', `${what} is no manifest and no index of the OCI Image Specification`)
  return found.data
}

/** The manifests of an index that a server of this architecture may need, the best first. Throws `image.missing` for
 *  none, `input.missing` where the architecture would have to be known. */
export function candidatesOf(
  { manifests = [] }: OciDocument,
  architecture: Architecture | undefined,
  what: string,
): readonly Candidate[] {
  const disks = manifests.filter(({ annotations }) => rankOf(annotations?.disktype) >= 0)
  const own = disks.filter(({ platform }) => {
    const named = platform?.architecture
    return architecture === undefined || named === undefined || architectureOf(named) === architecture
  })
  if (own.length === 0)
    throw new Fault(
      'image.missing',
      `${what} has no disk image${architecture ? ` for ${architecture}` : ''}: annotate a manifest with disktype qcow2 or raw`,
    )
  const architectures = new Set(own.map(({ platform }) => platform?.architecture).filter(Boolean))
  if (architecture === undefined && architectures.size > 1)
    throw new Fault(
      'input.missing',
      `${what} has images for several architectures: set properties/cpu_arch of the node, or name one manifest by its digest`,
    )
  return own
    .map(({ digest, annotations }) => ({ digest: digestOf(digest, what), diskType: annotations?.disktype }))
    .toSorted((a, b) => rankOf(a.diskType) - rankOf(b.diskType))
}

/** The one blob of a manifest. `diskType`: what its index says of it. Throws `image.format` for a container image, or
 *  for several files. */
export function imageBlob(document: OciDocument, diskType: string | undefined, what: string): Checksum {
  const { layers = [], config, artifactType, annotations } = document
  const type = diskType ?? annotations?.disktype
  if (rankOf(type) < 0)
    throw new Fault('image.format', `${what} has the disktype ${JSON.stringify(type?.slice(0, 64))}: use qcow2 or raw`)
  const isContainer = CONTAINER_CONFIGS.has(config?.mediaType ?? '') && !artifactType && type === undefined
  if (isContainer)
    throw new Fault(
      'image.format',
      `${what} is a container image, not a disk image: push the disk as an artifact, or annotate it with disktype`,
    )
  const [layer] = layers
  if (layers.length !== 1 || !layer)
    throw new Fault('image.format', `${what} has ${layers.length} files: an image is one file`)
  return digestOf(layer.digest, what)
}

/** Where a disk type stands in the order of choice; -1: of no use here. */
const rankOf = (diskType: string | undefined): number =>
  diskType === undefined ? UNTYPED : DISK_TYPES.indexOf(diskType)

function digestOf(text: string, what: string): Checksum {
  if (!/^sha(256:[0-9a-f]{64}|512:[0-9a-f]{128})$/.test(text))
    throw new Fault('image.source', `${what} names a digest that is neither SHA-256 nor SHA-512`)
  return parseChecksum(text)
}
