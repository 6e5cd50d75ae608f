/** Certificates for Secure Boot at the store of older iDRACs, and in databases that are linked or named otherwise. */
import { afterEach, beforeAll, expect, test } from 'vitest'
import { Redfish } from '../../conductor/bmc/redfish/redfish.ts'
import { redfishInfo } from '../../conductor/bmc/redfish/info.ts'
import { selfSigned } from '../../kit/certificate.ts'
import { systemClock } from '../../kit/clock.ts'
import { formOf } from './form.ts'
import { at, StaticService, SYSTEM, type Body } from './static-service.ts'

const SECURE_BOOT = `${SYSTEM}/SecureBoot`
const STORE = `${SECURE_BOOT}/Oem/Dell/Certificates`
let pem = ''
let service: StaticService
let bmc: Redfish
beforeAll(async () => {
  pem = (await selfSigned({ commonName: 'db', days: 2 })).cert
})
afterEach(async () => {
  await bmc?.close()
  await service?.stop()
})
const life = () => AbortSignal.timeout(20_000)
async function open(resources: Record<string, Body>) {
  service = await StaticService.start({
    [SYSTEM]: { ...at(SYSTEM), PowerState: 'Off', SecureBoot: at(SECURE_BOOT) },
    ...resources,
  })
  bmc = new Redfish(redfishInfo(service.driverInfo()), systemClock)
}
const dell = () =>
  open({
    [SECURE_BOOT]: { SecureBootEnable: false, Oem: { Dell: { Certificates: at(`${STORE}/`) } } },
    [`${STORE}/DB`]: { Members: [at(`${STORE}/DB/CustSecbootpolicy.1`)] },
  })

test('Dell: the certificate is sent as a file in DER, and one more in the store proves it', async () => {
  await dell()
  service.handle = ({ method, path, headers, text }) => {
    if (method !== 'POST' || path !== `${STORE}/DB`) return undefined
    const [part] = formOf(String(headers['content-type']), Buffer.from(text, 'latin1'))
    const der = Buffer.from(pem.replaceAll(/-----[^-]+-----|\s/g, ''), 'base64')
    expect([part?.name, part?.bytes.equals(der), headers['transfer-encoding']]).toEqual(['file', true, undefined])
    service.resources[path] = { Members: [1, 2].map((n) => at(`${STORE}/DB/CustSecbootpolicy.${n}`)) }
    return { status: 202 }
  }
  expect(await bmc.firmwareMode.enroll(pem, life())).toBe(true)
})

test('Dell: a store that shows nothing new is a fault by name', async () => {
  await dell()
  service.handle = ({ method }) => (method === 'POST' ? { status: 200, body: {} } : undefined)
  await expect(bmc.firmwareMode.enroll(pem, life())).rejects.toMatchObject({ code: 'bmc.unproven' })
})

test('a database under another case and with a slash is found; a licence that is missing is named', async () => {
  const databases = `${SECURE_BOOT}/SecureBootDatabases`
  const certificates = `${databases}/DB/Certificates`
  await open({
    [SECURE_BOOT]: { SecureBootEnable: false, SecureBootDatabases: at(databases) },
    [databases]: { Members: [at(`${databases}/PK/`), at(`${databases}/DB/`)] },
    [`${databases}/DB`]: { Certificates: at(certificates) },
    [certificates]: { Members: [] },
  })
  service.handle = ({ method, path, body }) => {
    if (method !== 'POST' || path !== certificates) return undefined
    service.resources[path] = { Members: [{ ...at(`${path}/1`), CertificateString: body.CertificateString }] }
    return { status: 201 }
  }
  expect(await bmc.firmwareMode.isEnrolled(pem, life())).toBe(false)
  expect(await bmc.firmwareMode.enroll(pem, life())).toBe(true)
  expect(await bmc.firmwareMode.isEnrolled(pem, life())).toBe(true)

  service.resources[certificates] = { Members: [] }
  const message = { MessageId: 'SMC.1.0.OemLicenseNotPassed', Message: 'Not licensed to perform this request.' }
  service.handle = ({ method }) =>
    method === 'POST' ? { status: 403, body: { error: { '@Message.ExtendedInfo': [message] } } } : undefined
  await expect(bmc.firmwareMode.enroll(pem, life())).rejects.toMatchObject({ code: 'bmc.licence' })
})

test('a BMC without databases and without a store says so', async () => {
  await open({ [SECURE_BOOT]: { SecureBootEnable: false } })
  await expect(bmc.firmwareMode.enroll(pem, life())).rejects.toMatchObject({ code: 'node.unsupported' })
})
