/** The secret that pulls images goes to the registry that it was given for, whoever names the image. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import bcrypt from 'bcryptjs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startConductor, type Conductor } from '../../conductor/conductor.ts'
import { Config } from '../../conductor/config.ts'
import { silentLog } from '../../kit/log.ts'
import { call, faultOf } from './client.ts'

let dir = ''
let own: Conductor
const USERS = { root: { role: 'admin' }, blue: { role: 'operator', project: 'blue' } } as const
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-pull-'))
  const hash = await bcrypt.hash('pw', 4)
  await writeFile(
    join(dir, 'htpasswd'),
    Object.keys(USERS)
      .map((user) => `${user}:${hash}\n`)
      .join(''),
  )
  own = await startConductor(
    Config.parse({
      data: join(dir, 'data'),
      images: { store: join(dir, 'images') },
      api: {
        listen: [{ address: '127.0.0.1', port: 0 }],
        auth: { strategy: 'http_basic', file: join(dir, 'htpasswd'), users: USERS },
      },
    }),
    { log: silentLog },
  )
}, 60_000)
afterAll(async () => {
  await own?.stop()
  await rm(dir, { recursive: true })
})

const as = (user: string, method: string, path: string, body?: unknown) =>
  call(
    method,
    path,
    body,
    {
      'OpenStack-API-Version': 'baremetal latest',
      authorization: `Basic ${Buffer.from(`${user}:pw`).toString('base64')}`,
    },
    own.addresses[0] ?? '',
  )
const node = async (more: Record<string, unknown>) =>
  String((await as('root', 'POST', '/v1/nodes', { driver: 'fake-hardware', ...more })).body.uuid)

test('a secret that pulls images stays with its registry: who of a project names another one gives it again', async () => {
  const uuid = await node({
    owner: 'other',
    lessee: 'blue',
    instance_info: { image_source: 'oci://one.example/disks/debian:13', image_pull_secret: 'user:word' },
  })
  const patch = (user: string, ...changes: object[]) => as(user, 'PATCH', `/v1/nodes/${uuid}`, changes)
  const to = (source: string, key = 'image_source') => ({ op: 'add', path: `/instance_info/${key}`, value: source })
  const again = { op: 'add', path: '/instance_info/image_pull_secret', value: 'own:word' }
  expect((await patch('blue', to('oci://ONE.example/disks/other:1'))).status).toBe(200)
  for (const key of ['image_source', 'kernel']) {
    const refused = await patch('blue', to('oci://evil.example/a/b:1', key))
    expect(refused.status).toBe(400)
    expect(faultOf(refused).faultstring).toContain('give instance_info/image_pull_secret again')
  }
  const masked = { image_source: 'oci://evil.example/a/b:1', image_pull_secret: '******' }
  expect((await patch('blue', { op: 'replace', path: '/instance_info', value: masked })).status).toBe(400)
  // In two steps neither.
  expect((await patch('blue', { op: 'remove', path: '/instance_info/image_source' })).status).toBe(200)
  expect((await patch('blue', to('oci://evil.example/a/b:1'))).status).toBe(400)
  expect((await patch('blue', again, to('oci://evil.example/a/b:1'))).status).toBe(200)
  expect((await patch('root', to('oci://third.example/a/b:1'))).status).toBe(200)
})
