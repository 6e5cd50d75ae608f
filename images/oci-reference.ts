/** Names of artifacts in OCI registries: `oci://HOST[:PORT]/REPOSITORY[:TAG][@DIGEST]`, by the grammar of the OCI
 *  Distribution Specification. Pure. */
import { Fault } from '../kit/fault.ts'
import { parseChecksum, type Checksum } from './checksum.ts'

export interface OciReference {
  /** With its port, in lower case. */
  readonly host: string
  readonly repository: string
  /** What stands in the URL of the manifest: a digest where there is one, else the tag. */
  readonly wanted: { readonly tag: string } | { readonly digest: Checksum }
}

const SCHEME = /^oci:\/\//i
const HOST = /^(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::\d{1,5})?$/
const REPOSITORY = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/
/** The specification asks registries for so much, with the host. */
const MAX_NAME_LENGTH = 255
const MAX_LENGTH = 600

export const isOci = (source: string): boolean => SCHEME.test(source)

/** Throws `input.invalid`. `key`: of instance_info. */
export function parseOci(source: string, key = 'image_source'): OciReference {
  const refuse = (why: string) =>
    new Fault(
      'input.invalid',
      `instance_info/${key}: ${JSON.stringify(source.slice(0, 255))} ${why}; write oci://HOST[:PORT]/REPOSITORY[:TAG] or …@sha256:DIGEST`,
    )
  if (source.length > MAX_LENGTH) throw refuse('is too long')
  const [name = '', digest, ...more] = source.replace(SCHEME, '').split('@')
  if (more.length > 0) throw refuse('has more than one @')
  const slash = name.indexOf('/')
  const host = name.slice(0, Math.max(slash, 0)).toLowerCase()
  const path = name.slice(slash + 1)
  const colon = path.indexOf(':')
  const repository = colon < 0 ? path : path.slice(0, colon)
  const tag = colon < 0 ? undefined : path.slice(colon + 1)
  if (slash < 0 || !HOST.test(host) || !URL.canParse(`https://${host}/`)) throw refuse('names no host of a registry')
  if (name.length > MAX_NAME_LENGTH || !REPOSITORY.test(repository))
    throw refuse('names no repository: its parts are lower-case letters and digits, with single . _ - between them')
  if (tag !== undefined && !TAG.test(tag)) throw refuse('has a tag that is none')
  if (digest === undefined) return { host, repository, wanted: { tag: tag ?? 'latest' } }
  if (!/^sha(256|512):[0-9a-f]+$/.test(digest)) throw refuse('has a digest that is neither sha256 nor sha512')
  return { host, repository, wanted: { digest: parseChecksum(digest) } }
}

export const digestText = ({ algo, hex }: Checksum): string => `${algo}:${hex}`

/** The same artifact by the digest of its manifest: what it names never changes. */
export const pinned = ({ host, repository }: OciReference, manifest: Checksum): string =>
  `oci://${host}/${repository}@${digestText(manifest)}`
