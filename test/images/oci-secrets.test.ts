/** Secrets for OCI registries: which registry gets the one in driver_info, and tokens that outlive who asked first. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ociImage } from '../../conductor/node/run/image-place.ts'
import { parseOci } from '../../images/oci-reference.ts'
import { OciRegistry } from '../../images/oci-registry.ts'
import { fakeRegistry, REPOSITORY, type FakeRegistry } from './fake-registry.ts'
import { ended } from './import-bench.ts'

const basic = `Basic ${Buffer.from('robot:s3cret').toString('base64')}`
const guard = { allowedHosts: ['127.0.0.1'] }
let registry: FakeRegistry
let oci: OciRegistry

beforeEach(async () => {
  registry = await fakeRegistry()
  oci = new OciRegistry({ auths: async () => new Map(), ca: undefined, plainHttp: [registry.host] })
  registry.push(Buffer.from('disk'))
})
afterEach(() => registry.stop())

test('a secret in driver_info is for the registry beside it alone, whatever image is named', async () => {
  registry.challenge = 'Basic realm="Registry"'
  registry.authorization = basic
  const source = `oci://${registry.host}/${REPOSITORY}`
  const { signal } = new AbortController()
  const from = (more: Record<string, unknown>) => {
    const driverInfo = { image_pull_secret: 'robot:s3cret', ...more }
    return ended(
      ociImage(source, { workflow: { project: null }, instanceInfo: {}, driverInfo }, { oci, guard, signal }),
    )
  }
  expect(await from({})).toMatch(/^input.missing: driver_info\/image_pull_registry/)
  expect(await from({ image_pull_registry: 'registry.example' })).toMatch(/wants a user and a password/)
  expect(registry.asked.map(({ authorization }) => authorization)).toEqual([undefined])
  expect(await from({ image_pull_registry: registry.host })).toBe('taken')
})

test('an import that others wait for goes on when the first who asked does not want it any more', async () => {
  registry.challenge = `Bearer realm="http://${registry.host}/token"`
  registry.authorization = 'Bearer t0ken'
  registry.first = ({ url, headers }, response) => {
    if (!url?.startsWith('/token')) return false
    response.writeHead(headers.authorization === basic ? 200 : 401).end('{"token":"t0ken"}')
    return true
  }
  const asker = new AbortController()
  const about = { architecture: undefined, pullSecret: 'robot:s3cret', guard, signal: asker.signal }
  const found = await oci.image(parseOci(`oci://${registry.host}/${REPOSITORY}`), about)
  asker.abort()
  expect(await found.headers()).toEqual({ authorization: 'Bearer t0ken' })
})
