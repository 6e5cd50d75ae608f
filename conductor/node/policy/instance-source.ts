/** What instance_info asks to be deployed: an image for the disk, or what a ramdisk instance boots each time. Pure;
 *  throws `input.missing` or
 *  `input.invalid` with the key. */
import { Fault } from '../../../kit/fault.ts'
import { isSafeWord } from '../../../pxe/script.ts'
import { parseChecksum, type Checksum } from '../../../images/checksum.ts'
import { isOci, parseOci } from '../../../images/oci-reference.ts'
import { isS3, parseS3 } from '../../../images/s3.ts'
import { seriesReference } from '../../../images/series.ts'
import { isImageName } from '../../../images/store.ts'

export interface SourceFile {
  /** A URL, the UUID of an image in Glance as `glance://UUID`, an OCI artifact, or the name of an image in the
   *  store. */
  readonly source: string
  readonly checksum?: Checksum
}

export type RamdiskSource =
  | {
      readonly kind: 'kernel'
      readonly kernel: SourceFile
      readonly ramdisk: SourceFile
      readonly args: readonly string[]
    }
  | { readonly kind: 'iso'; readonly iso: SourceFile }

export interface SourceRules {
  /** `images.uncheckedBootFiles`. */
  readonly uncheckedBootFiles: boolean
  /** There are `images.trustedKeys`, and no `images.unsignedBootFiles`. */
  readonly signedOnly?: boolean
  /** `images.glance` is configured. */
  readonly glance: boolean
  /** `boot.loaders` has what starts a partition image. */
  readonly partitionLoaders?: boolean
  /** This machine has what starts them by BIOS. */
  readonly partitionBios?: boolean
  /** `images.s3.buckets`, where it is configured. */
  readonly s3?: readonly string[] | undefined
}

export type InstanceInfo = Readonly<Record<string, unknown>>

const SCHEMES: ReadonlySet<string> = new Set(['http', 'https', 'file'])
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i
/** Linux takes 2,048 characters on x86; the rest is for what stands before these. */
const MAX_ARGUMENTS_LENGTH = 1_500

const MAX_SECRET_LENGTH = 16_384

const textOf = (value: unknown) => (typeof value === 'string' ? value : undefined)
const schemeOf = (source: string) => /^([a-z][a-z0-9+.-]*):/i.exec(source)?.[1]?.toLowerCase()
const isUrl = (source: string) => SCHEMES.has(schemeOf(source) ?? '') && URL.canParse(source)

/** The UUID of an image in Glance, for `glance://UUID` and for a UUID that stands alone. */
export function glanceId(source: string): string | undefined {
  const id = source.replace(/^glance:\/\//i, '')
  return UUID.test(id) ? id.toLowerCase() : undefined
}

export function imageSource(
  info: InstanceInfo,
  rules: Pick<SourceRules, 'glance' | 's3'> = { glance: false },
): SourceFile {
  const source = info.image_source
  if (typeof source !== 'string' || source === '')
    throw new Fault('input.missing', 'instance_info/image_source is missing: name an image of the store, or a URL')
  const value = info.image_os_hash_value ?? info.image_checksum
  const algo = info.image_os_hash_algo
  if (value !== undefined && typeof value !== 'string')
    throw new Fault('input.invalid', 'instance_info/image_checksum is not a text')
  if (schemeOf(source) === 'glance') return { source: knownToGlance(source, 'image_source', rules) }
  if (isImageName(source) || seriesReference(source)) return { source }
  if (isOci(source)) {
    parseOci(source)
    pullSecretOf(info)
    return value === undefined ? { source } : { source, checksum: parseChecksum(value, textOf(algo)) }
  }
  if (isS3(source)) parseS3(source, 'image_source', rules.s3 ?? [])
  else if (!isUrl(source))
    throw new Fault(
      'input.invalid',
      `instance_info/image_source: ${JSON.stringify(source.slice(0, 255))} is neither the name of an image nor an http, https, file, glance, oci or s3 URL`,
    )
  if (value === undefined)
    throw new Fault(
      'input.missing',
      'instance_info/image_checksum is missing: an image from a URL needs its SHA-256 or SHA-512',
    )
  return { source, checksum: parseChecksum(value, textOf(algo)) }
}

/** What pulls an OCI artifact, before what the configuration has. */
export function pullSecretOf(info: InstanceInfo, key = 'instance_info'): string | undefined {
  const secret = info.image_pull_secret
  if (secret === undefined || secret === null || secret === '') return undefined
  if (typeof secret !== 'string' || secret.length > MAX_SECRET_LENGTH)
    throw new Fault(
      'input.invalid',
      `${key}/image_pull_secret is no text of at most ${MAX_SECRET_LENGTH} characters: give user:password, or a token`,
    )
  return secret
}

/** The secret that the owner of a node keeps in driver_info. It is for the registry that stands beside it alone: who
 *  leases the node chooses the image, and would otherwise choose who gets the secret. */
export function ownPullSecret(driverInfo: InstanceInfo, host: string): string | undefined {
  const secret = pullSecretOf(driverInfo, 'driver_info')
  const { image_pull_registry: registry } = driverInfo
  if (secret === undefined) return undefined
  if (typeof registry !== 'string' || registry === '')
    throw new Fault(
      'input.missing',
      'driver_info/image_pull_registry is missing: name the HOST[:PORT] that driver_info/image_pull_secret is for',
    )
  return registry.toLowerCase() === host ? secret : undefined
}

/** What a node with deploy_interface ramdisk boots: `kernel` and `ramdisk` with `ramdisk_kernel_arguments`, or
 *  `boot_iso`. Throws `image.untrusted` too. */
export function ramdiskSource(info: InstanceInfo, rules: SourceRules): RamdiskSource {
  const { boot_iso: iso, kernel, ramdisk } = info
  if (rules.signedOnly)
    throw new Fault(
      'image.untrusted',
      'instance_info: the deploy interface ramdisk boots files that nobody can sign; images.trustedKeys allows ' +
        'signed images alone, unless images.unsignedBootFiles is set',
    )
  if (iso !== undefined) {
    if (kernel !== undefined || ramdisk !== undefined)
      throw new Fault('input.invalid', 'instance_info/boot_iso: give either boot_iso, or kernel and ramdisk')
    return { kind: 'iso', iso: fileSource('boot_iso', info, rules) }
  }
  if (kernel === undefined && ramdisk === undefined)
    throw new Fault(
      'input.missing',
      'instance_info/kernel and instance_info/ramdisk are missing, or instance_info/boot_iso: the deploy ' +
        'interface ramdisk boots them',
    )
  return {
    kind: 'kernel',
    kernel: fileSource('kernel', info, rules),
    ramdisk: fileSource('ramdisk', info, rules),
    args: kernelArguments(info, 'ramdisk_kernel_arguments'),
  }
}

export function fileSource(key: 'kernel' | 'ramdisk' | 'boot_iso', info: InstanceInfo, rules: SourceRules): SourceFile {
  const source = info[key]
  if (typeof source !== 'string' || source === '') throw new Fault('input.missing', `instance_info/${key} is missing`)
  const checksum = info[`${key}_checksum`]
  if (checksum !== undefined && typeof checksum !== 'string')
    throw new Fault('input.invalid', `instance_info/${key}_checksum is not a text`)
  if (glanceId(source)) return { source: knownToGlance(source, key, rules) }
  if (isOci(source)) {
    if ('tag' in parseOci(source, key).wanted)
      throw new Fault(
        'input.invalid',
        `instance_info/${key}: name the artifact by its digest, as oci://…@sha256:DIGEST`,
      )
    return { source }
  }
  if (isS3(source)) parseS3(source, key, rules.s3 ?? [])
  else if (!isUrl(source))
    throw new Fault(
      'input.invalid',
      `instance_info/${key}: ${JSON.stringify(source.slice(0, 255))} is no http, https, file, oci or s3 URL, and no image of Glance`,
    )
  if (checksum === undefined && rules.uncheckedBootFiles) return { source }
  if (checksum === undefined)
    throw new Fault(
      'input.missing',
      `instance_info/${key}_checksum is missing: the SHA-256 or SHA-512 of the file (images.uncheckedBootFiles can allow it to be absent)`,
    )
  return { source, checksum: parseChecksum(checksum) }
}

function knownToGlance(source: string, key: string, { glance }: Pick<SourceRules, 'glance'>): string {
  const id = glanceId(source)
  if (!id)
    throw new Fault('input.invalid', `instance_info/${key}: ${JSON.stringify(source.slice(0, 255))} holds no UUID`)
  if (!glance)
    throw new Fault(
      'input.invalid',
      `instance_info/${key} names an image of Glance, and images.glance is not configured`,
    )
  return `glance://${id}`
}

/** Each word reaches the kernel unchanged or is refused: these words stand in a command of an iPXE script, or in a menu
 *  of GRUB. */
export function kernelArguments(
  info: InstanceInfo,
  key: 'ramdisk_kernel_arguments' | 'kernel_append_params',
): readonly string[] {
  const text = info[key]
  if (text === undefined || text === null) return []
  const refuse = (why: string) => new Fault('input.invalid', `instance_info/${key}${why}`)
  if (typeof text !== 'string') throw refuse(' is not a text')
  if (text.length > MAX_ARGUMENTS_LENGTH) throw refuse(` is longer than ${MAX_ARGUMENTS_LENGTH} characters`)
  const words = text.split(/[ \t]+/).filter(Boolean)
  const bad = words.find((word) => !isSafeWord(word))
  if (bad !== undefined)
    throw refuse(
      `: ${JSON.stringify(bad.slice(0, 64))} would not reach the kernel unchanged; use letters, digits and . , : ; / @ % + = ? & ~ [ ] _ -`,
    )
  return words
}
