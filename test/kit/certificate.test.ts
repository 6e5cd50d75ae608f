/** Self-signed certificates: the key fits, the names and the time are those that were asked for; the API's are made
 *  once, for their owner alone. */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { tlsFiles } from '../../conductor/api/tls.ts'
import { selfSigned } from '../../kit/certificate.ts'

const DAY_MS = 86_400_000

test('the key fits the certificate, which has the names and the time that were asked for', async () => {
  const { key, cert } = await selfSigned({ commonName: 'bmc', days: 2, names: ['IP:127.0.0.1', 'DNS:localhost'] })
  const certificate = new X509Certificate(cert)
  expect(certificate.checkPrivateKey(createPrivateKey(key))).toBe(true)
  expect([certificate.subject, certificate.issuer]).toEqual(['CN=bmc', 'CN=bmc'])
  expect(certificate.subjectAltName).toBe('IP Address:127.0.0.1, DNS:localhost')
  expect(certificate.publicKey.asymmetricKeyDetails).toEqual({ namedCurve: 'prime256v1' })
  expect((Date.parse(certificate.validTo) - Date.parse(certificate.validFrom)) / DAY_MS).toBe(2)
})

test('without names there is no extension for them', async () => {
  const { cert } = await selfSigned({ commonName: 'bmc', days: 2 })
  expect(new X509Certificate(cert).subjectAltName).toBeUndefined()
})

test('the certificate of the API is made once, whatever the umask is for its owner alone', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'rackward-tls-'))
  onTestFinished(() => rm(dataDir, { recursive: true }))
  const at = { dataDir, addresses: ['192.0.2.1', '2001:db8::1'], hostname: 'rack1', name: 'api', configKey: 'api.tls' }
  const made = await tlsFiles('self-made', at)
  expect(await tlsFiles('self-made', { ...at, hostname: 'other' })).toEqual(made)

  const certificate = new X509Certificate(made.cert)
  expect(certificate.checkPrivateKey(createPrivateKey(made.key))).toBe(true)
  expect(certificate.checkIP('2001:db8::1')).toBe('2001:db8::1')
  expect(certificate.checkHost('rack1')).toBe('rack1')
  const modes = await Promise.all(['api.key', 'api.crt'].map(async (name) => (await stat(join(dataDir, name))).mode))
  expect(modes.map((mode) => mode & 0o777)).toEqual([0o600, 0o600])
})
