/** Pulls from OCI registries: the choice among manifests, tokens, and registries that lie. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { imageReferences } from '../../conductor/image-store/references.ts'
import { pinnedName } from '../../conductor/node/run/image-place.ts'
import { ImageSource } from '../../conductor/node/run/image-source.ts'
import { openOci } from '../../conductor/node/run/oci-account.ts'
import { ImportBudget } from '../../images/budget.ts'
import type { OciAuths } from '../../images/oci-auth.ts'
import { parseOci } from '../../images/oci-reference.ts'
import { OciRegistry } from '../../images/oci-registry.ts'
import { ImageStore } from '../../images/store.ts'
import { systemClock } from '../../kit/clock.ts'
import { digestOf, fakeRegistry, MANIFEST, REPOSITORY, sha256, type FakeRegistry } from './fake-registry.ts'
import { ended } from './import-bench.ts'

const b64 = (text: string) => Buffer.from(text).toString('base64')

describe('pulls', () => {
  const disk = (letter: string) => {
    const bytes = Buffer.alloc(1024 * 1024, letter)
    bytes.writeUInt16LE(0xaa55, 510)
    return bytes
  }
  const DISK = disk('d')
  let dir = ''
  let store: ImageStore
  let registry: FakeRegistry
  let other: FakeRegistry
  let auths: OciAuths
  let allowedHosts: string[]

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'rackward-oci-'))
  })
  beforeEach(async () => {
    registry?.stop()
    other?.stop()
    registry = await fakeRegistry()
    other = await fakeRegistry()
    store = new ImageStore(join(dir, `store-${registry.host.replace(':', '-')}`))
    await mkdir(store.root)
    auths = new Map()
    allowedHosts = ['127.0.0.1']
  })
  afterAll(async () => {
    registry.stop()
    other.stop()
    await rm(dir, { recursive: true })
  })

  const source = () =>
    new ImageSource({
      glance: undefined,
      oci: new OciRegistry({ auths: async () => auths, ca: undefined, plainHttp: [registry.host, other.host] }),
      store,
      allowedPaths: [],
      budget: new ImportBudget({ virtualSizeBytes: 64 * 1024 * 1024 }, systemClock),
      guard: { allowedHosts },
    })
  const node = (what = '', more: Record<string, unknown> = {}, arch?: string) => ({
    workflow: { project: null },
    instanceInfo: { image_source: `oci://${registry.host}/${REPOSITORY}${what}`, ...more },
    properties: arch === undefined ? {} : { cpu_arch: arch },
  })
  const pull = (...about: Parameters<typeof node>) => source().resolve(node(...about))
  const end = (...about: Parameters<typeof node>) => ended(pull(...about))
  const blobs = () => registry.asked.filter(({ path }) => path.includes('/blobs/')).length

  test('by tag and by digest; once for both, and the registry is asked each time', async () => {
    const { manifest } = registry.push(DISK)
    const image = await pull(':latest')
    expect(image).toMatchObject({
      id: sha256(DISK),
      names: [pinnedName(`oci://${registry.host}/${REPOSITORY}@${manifest}`)],
    })
    expect((await pull(`@${manifest}`)).id).toBe(image.id)
    expect([blobs(), registry.asked.length]).toEqual([1, 3])
    expect((await source().known(node(`@${manifest}`)))?.id).toBe(image.id)
    expect(await source().known(node(':latest'))).toBeUndefined()
    // It is gone, or the credentials are: the copy in the store is for nobody who may not pull it.
    registry.content.clear()
    expect(await end(`@${manifest}`)).toMatch(/^image.missing: .*not for these credentials/)
  })

  test('an image whose node names the digest is no garbage', async () => {
    const at = `oci://${registry.host}/${REPOSITORY}@${digestOf('x')}`
    const rows = [{ uuid: 'u', name: 'n', workflow: { imageId: null }, instanceInfo: { image_source: at } }]
    const records: Record<string, unknown> = { nodes: async () => rows, objects: { every: async () => [] } }
    const nothing = async () => []
    const found = await imageReferences(new Proxy(records, { get: (to, key) => to[String(key)] ?? nothing }) as never)
    expect([...found.by.keys()]).toContain(pinnedName(at))
  })

  test('a damaged copy is fetched again', async () => {
    const { manifest } = registry.push(DISK)
    const image = await pull(`@${manifest}`)
    await store.setDamaged(image.id, [0])
    expect((await source().heal(image)).id).toBe(image.id)
    expect([await store.damagedOf(image.id), blobs()]).toEqual([[], 2])
  })

  describe('of an index', () => {
    const entries = () => {
      const of = (letter: string, more: Record<string, unknown>) => ({
        mediaType: MANIFEST,
        digest: registry.push(disk(letter)).manifest,
        size: 1,
        ...more,
      })
      const platform = (architecture: string) => ({ platform: { architecture, os: 'linux' } })
      const [amd, arm] = [platform('amd64'), platform('aarch64')]
      const container = registry.push(Buffer.from('layer'), {
        config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: digestOf('{}'), size: 2 },
      }).manifest
      return [
        { mediaType: MANIFEST, digest: container, size: 1, ...amd },
        of('v', { ...amd, annotations: { disktype: 'hyperv' } }),
        of('a', { ...arm, annotations: { disktype: 'raw' } }),
        of('r', { ...amd, annotations: { disktype: 'raw' } }),
      ]
    }
    test('the node’s architecture and the disk type decide', async () => {
      registry.pushIndex('v1', entries())
      expect((await pull(':v1', {}, 'x86_64')).id).toBe(sha256(disk('r')))
      expect((await pull(':v1', {}, 'aarch64')).id).toBe(sha256(disk('a')))
      expect(await end(':v1')).toMatch(/^input.missing: .*properties\/cpu_arch/)
    })
    test('without a disk image it is refused', async () => {
      registry.pushIndex('v1', entries().slice(0, 2))
      expect(await end(':v1', {}, 'x86_64')).toMatch(/^image.format: .*is a container image/)
      registry.pushIndex('v2', entries().slice(1, 2))
      expect(await end(':v2', {}, 'x86_64')).toMatch(/^image.missing: .*no disk image for x86_64/)
    })
  })

  test('a checksum that the user gives must be that of the file', async () => {
    registry.push(DISK)
    expect(await end('', { image_checksum: 'f'.repeat(64) })).toMatch(/^image.checksum: instance_info\/image_checksum/)
    expect(await end('', { image_checksum: sha256(DISK) })).toBe('taken')
  })

  test.each([
    [
      'several files',
      { layers: [1, 2].map(() => ({ digest: digestOf('x'), size: 1 })) },
      /^image.format: .*has 2 files/,
    ],
    ['no file', { layers: [] }, /^image.format: .*has 0 files/],
    ['another kind of disk', { annotations: { disktype: 'vmdk' } }, /^image.format: .*disktype "vmdk"/],
    ['a digest that leads elsewhere', { layers: [{ digest: '../../x', size: 1 }] }, /^image.source: .*neither SHA-256/],
    ['both', { manifests: [] }, /^image.source: .*no manifest and no index/],
    ['nonsense', { layers: 'x' }, /^image.source: .*no manifest and no index/],
  ])('a manifest with %s is refused', async (_, more, why) => {
    registry.push(DISK, more)
    expect(await end()).toMatch(why)
    expect(blobs()).toBe(0)
  })

  test('another manifest or another file than the digest says is refused', async () => {
    const { manifest, blob } = registry.push(DISK)
    registry.content.set(`${REPOSITORY}/blobs/${blob}`, disk('x'))
    expect(await end(`@${manifest}`)).toMatch(/^image.checksum: /)
    registry.content.set(`${REPOSITORY}/manifests/${manifest}`, Buffer.from('{"layers":[]}'))
    expect(await end(`@${manifest}`)).toMatch(/^image.checksum: .*another manifest/)
    expect(await store.list()).toEqual([])
  })

  test('a manifest without end, one nested without end, and one that is no JSON are refused', async () => {
    const send = (body: string | Buffer) => (_: IncomingMessage, response: ServerResponse) => {
      response.writeHead(200).end(body)
      return true
    }
    for (const body of [Buffer.alloc(5 * 1024 * 1024, ' '), '{"layers":'.repeat(50_000), 'no', '[]', 'null']) {
      registry.first = send(body)
      expect(await end()).toMatch(/^image.source: /)
    }
  })

  describe('credentials', () => {
    const withTokens = (realm: string, giver = registry) => {
      registry.push(DISK)
      registry.challenge = `Bearer realm="${realm}",service="registry.example",scope="repository:*:push,delete"`
      registry.authorization = 'Bearer t0ken'
      giver.first = ({ url, headers }, response) => {
        if (!url?.startsWith('/token')) return false
        const isKnown = headers.authorization === `Basic ${b64('robot:s3cret')}`
        response.writeHead(isKnown ? 200 : 401).end('{"token":"t0ken"}')
        return true
      }
    }
    test('the token is asked for what we need, with the secret of the node or that of the file', async () => {
      withTokens(`http://${other.host}/token?a=b`, other)
      expect(await end('', { image_pull_secret: 'robot:s3cret' })).toBe('taken')
      const asked = new URL(other.asked[0]?.path ?? '', 'http://x').searchParams
      expect(Object.fromEntries(asked)).toEqual({
        a: 'b',
        service: 'registry.example',
        scope: `repository:${REPOSITORY}:pull`,
      })
      auths = new Map([[registry.host, b64('robot:s3cret')]])
      expect(await end()).toBe('taken')
      // The registry itself sees tokens alone.
      const seen = new Set(registry.asked.map(({ authorization }) => authorization))
      expect(seen).toEqual(new Set([undefined, 'Bearer t0ken']))
    })
    test('without them, or with others, it says where to put them, and not what they were', async () => {
      withTokens(`http://${registry.host}/token`)
      expect(await end()).toMatch(/^image.source: .*gives no token to strangers; instance_info\/image_pull_secret/)
      const wrong = await end('', { image_pull_secret: 'robot:wr0ng' })
      expect(wrong).toMatch(/^image.source: .*refused the credentials/)
      expect(wrong).not.toContain('wr0ng')
    })
    test('those of another registry stay here, whatever realm this one names', async () => {
      withTokens(`http://${other.host}/token`, other)
      auths = new Map([[other.host, b64('robot:s3cret')]])
      expect(await end()).toMatch(/gives no token to strangers/)
      expect(other.asked.map(({ authorization }) => authorization)).toEqual([undefined])
    })
    test('a realm on this machine is refused, and so is one that is no URL', async () => {
      allowedHosts = [registry.host.split(':')[0] as string]
      for (const realm of ['file:///etc/passwd', 'no', '', 'http://u:p@127.0.0.1/', 'gopher://x/']) {
        withTokens(realm)
        expect(await end('', { image_pull_secret: 'robot:s3cret' })).toMatch(/names no https URL that gives tokens/)
      }
      withTokens(`http://[::1]:${registry.host.split(':')[1]}/token`)
      expect(await end('', { image_pull_secret: 'robot:s3cret' })).toMatch(/is on this machine/)
    })
    test('Basic, where the registry asks for it', async () => {
      registry.push(DISK)
      registry.challenge = 'Basic realm="Registry"'
      registry.authorization = `Basic ${b64('robot:s3cret')}`
      expect(await end()).toMatch(/wants a user and a password/)
      expect(await end('', { image_pull_secret: b64('robot:s3cret') })).toBe('taken')
    })
    test('who it redirects to gets none, neither for the manifest nor for the file', async () => {
      const { blob } = registry.push(DISK)
      registry.challenge = 'Basic realm="Registry"'
      registry.authorization = `Basic ${b64('robot:s3cret')}`
      other.content.set(`${REPOSITORY}/blobs/${blob}`, DISK)
      registry.first = ({ url = '', headers }, response) => {
        if (!url.includes('/blobs/') || headers.authorization !== registry.authorization) return false
        response.writeHead(307, { location: `http://${other.host}${url}` }).end()
        return true
      }
      expect(await end('', { image_pull_secret: 'robot:s3cret' })).toBe('taken')
      expect(other.asked.map(({ authorization }) => authorization)).toEqual([undefined])

      other.challenge = `Bearer realm="http://${other.host}/token"`
      registry.first = ({ url }, response) => {
        response.writeHead(307, { location: `http://${other.host}${url}` }).end()
        return true
      }
      expect(await end('', { image_pull_secret: 'robot:s3cret' })).toMatch(/leads to a host that wants credentials/)
      expect(other.asked.every(({ authorization }) => authorization === undefined)).toBe(true)
    })
    test('a token that would break a header is refused', async () => {
      withTokens(`http://${registry.host}/token`)
      registry.first = ({ url }, response) => {
        if (!url?.startsWith('/token')) return false
        response.writeHead(200).end(JSON.stringify({ token: 'x\r\ny: z' }))
        return true
      }
      expect(await end()).toMatch(/answered without a token/)
    })
  })

  test('a registry on this machine is refused unless it is allowed', async () => {
    registry.push(DISK)
    allowedHosts = []
    expect(await end()).toMatch(/^input.invalid: .*is on this machine.*images.allowedHosts can allow it/)
    expect(registry.asked).toEqual([])
  })

  test('images.oci.authFile must be readable by its owner alone, and is read for each pull', async () => {
    const authFile = join(dir, 'auth.json')
    await writeFile(authFile, '{"auths":{}}', { mode: 0o644 })
    expect(await ended(openOci({ authFile, plainHttp: [] }))).toMatch(/^config.invalid: images.oci.authFile: /)
    await rm(authFile)
    await writeFile(authFile, '{"auths":{}}', { mode: 0o600 })
    const oci = await openOci({ authFile, plainHttp: [registry.host] })
    registry.push(DISK)
    registry.challenge = 'Basic realm="Registry"'
    registry.authorization = `Basic ${b64('robot:later')}`
    const asker = {
      architecture: undefined,
      pullSecret: undefined,
      guard: { allowedHosts },
      signal: new AbortController().signal,
    }
    const at = parseOci(`oci://${registry.host}/${REPOSITORY}`)
    await writeFile(authFile, JSON.stringify({ auths: { [registry.host]: { auth: b64('robot:later') } } }))
    expect(await ended(oci.image(at, asker))).toBe('taken')
  })
})
