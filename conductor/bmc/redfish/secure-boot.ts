/** Secure Boot of a system (schema SecureBoot): read, switched for the next start, its keys reset, certificates added
 *  to the database `db`. */
import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { Fault, isFault } from '../../../kit/fault.ts'
import type { SecureBootSeen } from '../parts/firmware-mode.ts'
import { isDict, linkOf, type Dict, type RedfishClient, type Resource } from './client.ts'
import { actionOf, lastOf, memberPaths, membersOf } from './links.ts'
import { faultOf } from './messages.ts'
import { valuesOf } from './system.ts'

const MAX_MEMBERS = 64
const RESET_TYPES = { default: ['ResetAllKeysToDefault'], clear: ['DeleteAllKeys', 'DeletePK'] } as const

/** Null: the server has no Secure Boot, or the BMC has no licence to show it. */
export async function readSecureBoot(
  client: RedfishClient,
  system: Dict,
  signal: AbortSignal,
): Promise<SecureBootSeen | null> {
  const path = linkOf(system.SecureBoot)
  if (path === null) return null
  try {
    const { body } = await client.get(path, signal)
    if (body.SecureBootCurrentBoot === undefined && body.SecureBootEnable === undefined) return null
    return {
      active: body.SecureBootCurrentBoot === 'Enabled',
      wanted: body.SecureBootEnable === true,
      setupMode: body.SecureBootMode === 'SetupMode',
    }
  } catch (error) {
    if (isFault(error, 'bmc.path') || isFault(error, 'bmc.licence')) return null
    throw error
  }
}

/** For the next start. What holds now is not ordered again: some BMCs make a job of each order. */
export async function setSecureBoot(
  client: RedfishClient,
  { system, on }: { readonly system: Dict; readonly on: boolean },
  signal: AbortSignal,
): Promise<void> {
  const resource = await secureBootOf(client, system, signal)
  if (resource.body.SecureBootEnable === on) return
  if (on && resource.body.SecureBootMode === 'SetupMode')
    throw new Fault(
      'node.unsupported',
      'Secure Boot cannot be switched on while the server has no keys; reset them with the clean step management.reset_secure_boot_keys_to_default',
    )
  const refusal = await client.patch(resource, { SecureBootEnable: on }, signal)
  if (refusal) throw faultOf(refusal, `Secure Boot ${on ? 'on' : 'off'}`)
}

export async function resetKeys(
  client: RedfishClient,
  { system, how }: { readonly system: Dict; readonly how: 'default' | 'clear' },
  signal: AbortSignal,
): Promise<void> {
  const { body } = await secureBootOf(client, system, signal)
  const action = actionOf(body, '#SecureBoot.ResetKeys')
  if (!action)
    throw new Fault('node.unsupported', 'the BMC cannot reset the keys of Secure Boot (Actions/#SecureBoot.ResetKeys)')
  const allowed = valuesOf(action.body['ResetKeysType@Redfish.AllowableValues'])
  const type = RESET_TYPES[how].find((one) => allowed === null || allowed.includes(one))
  if (!type)
    throw new Fault(
      'node.unsupported',
      `the BMC has no way to ${how} the keys of Secure Boot; it has ${allowed?.join(', ')}`,
    )
  const refusal = await client.post(action.target, { ResetKeysType: type }, signal)
  if (refusal) throw faultOf(refusal, `reset of the keys of Secure Boot (${type})`)
}

/** By the standard collection; where there is none, by Dell's store. False: it is not shown yet, as where certificates
 *  hold from the next start on. */
export async function enroll(
  client: RedfishClient,
  { system, pem, owner }: { readonly system: Dict; readonly pem: string; readonly owner: string },
  signal: AbortSignal,
): Promise<boolean> {
  const wanted = fingerprintOf(pem)
  const secureBoot = await secureBootOf(client, system, signal)
  const store = await certificatesOf(client, secureBoot, signal)
  if (store === null) return enrollAtDell(client, { secureBoot, pem, wanted }, signal)

  if ((await enrolledAt(client, store, signal)).includes(wanted)) return true
  const body = { CertificateString: pem, CertificateType: 'PEM', UefiSignatureOwner: owner }
  const refusal = await client.post(store, body, signal)
  if (refusal) throw faultOf(refusal, 'certificate for the database db of Secure Boot')
  return (await enrolledAt(client, store, signal)).includes(wanted)
}

/** Dell's store shows no fingerprints, and proves itself when it is filled. */
export async function isEnrolled(
  client: RedfishClient,
  { system, pem }: { readonly system: Dict; readonly pem: string },
  signal: AbortSignal,
): Promise<boolean> {
  const store = await certificatesOf(client, await secureBootOf(client, system, signal), signal)
  return store === null || (await enrolledAt(client, store, signal)).includes(fingerprintOf(pem))
}

function fingerprintOf(pem: string): string {
  const [wanted] = fingerprints(pem)
  if (!wanted) throw new Fault('input.invalid', 'the certificate is not one in PEM form')
  return wanted
}

async function secureBootOf(client: RedfishClient, system: Dict, signal: AbortSignal): Promise<Resource> {
  const path = linkOf(system.SecureBoot)
  if (path === null) throw new Fault('node.unsupported', 'the BMC shows no Secure Boot for this server')
  return client.get(path, signal)
}

/** The collection of certificates of the database `db`; null: the BMC has no such databases. */
async function certificatesOf(client: RedfishClient, { body }: Resource, signal: AbortSignal): Promise<string | null> {
  const databases = linkOf(body.SecureBootDatabases)
  if (databases === null) return null
  const paths = await memberPaths(client.reader(signal), databases, MAX_MEMBERS)
  const db = paths.find((path) => lastOf(path).toLowerCase() === 'db')
  return db ? linkOf((await client.get(db, signal)).body.Certificates) : null
}

async function enrolledAt(client: RedfishClient, store: string, signal: AbortSignal): Promise<string[]> {
  const found: string[] = []
  for (const member of await membersOf(client.reader(signal), store, MAX_MEMBERS)) {
    const path = linkOf(member)
    const isWhole = isDict(member) && member.CertificateString !== undefined
    const body = isWhole ? member : path === null ? {} : (await client.get(path, signal)).body
    if (typeof body.CertificateString === 'string') found.push(...fingerprints(body.CertificateString))
  }
  return found
}

/** Older iDRACs: a store of files, whose entries have no fingerprint; one more of them is the proof. */
async function enrollAtDell(
  client: RedfishClient,
  { secureBoot, pem, wanted }: { secureBoot: Resource; pem: string; wanted: string },
  signal: AbortSignal,
): Promise<boolean> {
  const oem = isDict(secureBoot.body.Oem) && isDict(secureBoot.body.Oem.Dell) ? secureBoot.body.Oem.Dell : undefined
  const certificates = linkOf(oem?.Certificates)
  if (certificates === null)
    throw new Fault('node.unsupported', 'the BMC takes no certificates for Secure Boot (no SecureBootDatabases)')
  const store = `${certificates.replace(/\/$/, '')}/DB`
  const count = async () => (await membersOf(client.reader(signal), store, MAX_MEMBERS)).length
  const before = await count()
  const bytes = derOf(pem)
  const file = { name: 'certificate.der', sizeBytes: bytes.length, open: () => Readable.from([bytes]) }
  const { refusal } = await client.pushForm(store, { field: 'file', file }, signal)
  if (refusal) throw faultOf(refusal, 'certificate for the store DB of Secure Boot')
  if ((await count()) > before) return true
  throw new Fault(
    'bmc.unproven',
    `the BMC took the certificate ${wanted.slice(0, 16)}, and does not show it in its store`,
  )
}

const PEM = /-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/g
/** Vendors' certificates do not always parse: their bytes are compared. */
const fingerprints = (pem: string): string[] =>
  [...pem.matchAll(PEM)].map(([, text = '']) => createHash('sha256').update(Buffer.from(text, 'base64')).digest('hex'))
const derOf = (pem: string): Buffer => Buffer.from([...pem.matchAll(PEM)][0]?.[1] ?? '', 'base64')
