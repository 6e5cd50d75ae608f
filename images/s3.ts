/** Images in S3-compatible storage: `s3://BUCKET/KEY`, fetched by GET with Signature Version 4 (AWS). The secret signs
 *  and is never sent. */
import { AwsV4Signer } from 'aws4fetch'
import { Fault } from '../kit/fault.ts'
import type { Headers } from './open-url.ts'

export interface S3Account {
  readonly accessKeyId: string
  readonly secretKey: string
  readonly region: string
}

export interface S3Options extends S3Account {
  readonly endpoint: string
  /** BUCKET in the path, instead of before the host. */
  readonly pathStyle: boolean
  /** No other is read. */
  readonly buckets: readonly string[]
  readonly ca: string | undefined
}

export interface S3Reference {
  readonly bucket: string
  readonly key: string
}

const SCHEME = /^s3:\/\//i
const BUCKET = /^[a-z0-9](?:[a-z0-9.-]{1,61})[a-z0-9]$/
const MAX_KEY_BYTES = 1_024
const SHA256_OF_NOTHING = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

export const isS3 = (source: string): boolean => SCHEME.test(source)

/** Throws `input.invalid`. `field`: of instance_info. */
export function parseS3(source: string, field: string, buckets: readonly string[]): S3Reference {
  const refuse = (why: string) =>
    new Fault('input.invalid', `instance_info/${field}: ${JSON.stringify(source.slice(0, 255))} ${why}`)
  if (buckets.length === 0) throw refuse('is in S3 storage, and images.s3 is not configured')
  const name = source.replace(SCHEME, '')
  const slash = name.indexOf('/')
  const [bucket, key] = [name.slice(0, Math.max(slash, 0)), name.slice(slash + 1)]
  if (!BUCKET.test(bucket) || bucket.includes('..') || key === '')
    throw refuse('names no bucket and key: write s3://BUCKET/KEY')
  // What stands between slashes becomes a part of a URL, where these two mean another place.
  const isBad = key.split('/').some((part) => part === '.' || part === '..') || /\p{Surrogate}/u.test(key)
  if (isBad || Buffer.byteLength(key) > MAX_KEY_BYTES || /\p{Cc}/u.test(key)) throw refuse('has a key that is not used')
  if (!buckets.includes(bucket)) throw refuse('is in a bucket that images.s3.buckets does not list')
  return { bucket, key }
}

export class S3 {
  readonly buckets: readonly string[]
  private readonly options: S3Options
  private readonly now: () => number

  constructor(options: S3Options, now: () => number) {
    this.buckets = options.buckets
    this.options = options
    this.now = now
  }

  /** Where an object is read. Each request is signed when it is sent: a signature lives for 15 minutes. */
  place({ bucket, key }: S3Reference): { source: string; headers: () => Promise<Headers>; ca: string | undefined } {
    const { endpoint, pathStyle, ca } = this.options
    const path = key.split('/').map(encoded).join('/')
    const { protocol, host } = new URL(endpoint)
    const source = pathStyle ? `${protocol}//${host}/${bucket}/${path}` : `${protocol}//${bucket}.${host}/${path}`
    return { source, headers: () => signedGet(source, this.options, this.now()), ca }
  }
}

/** RFC 3986: also what encodeURIComponent leaves. */
const encoded = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)

/** The headers of a GET that this account signs. */
export async function signedGet(url: string, account: S3Account, nowMs: number): Promise<Headers> {
  const { accessKeyId, secretKey: secretAccessKey, region } = account
  const datetime = new Date(nowMs).toISOString().replace(/[:-]|\.\d{3}/g, '')
  const headers = { 'x-amz-content-sha256': SHA256_OF_NOTHING }
  const signer = new AwsV4Signer({ url, headers, accessKeyId, secretAccessKey, region, service: 's3', datetime })
  return Object.fromEntries((await signer.sign()).headers)
}
