/** The way to a real PostgreSQL over TLS: what is right works, and what is wrong is refused with the key that is to be
 *  corrected. No password stands anywhere but in its file. */
import { execFile } from 'node:child_process'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { newNode } from '../../conductor/node/record.ts'
import { openPostgresOf, optionsOf } from '../../conductor/start/open-store.ts'
import type { PostgresConfig } from '../../conductor/config-store.ts'
import { selfSigned } from '../../kit/certificate.ts'
import { monotonicClock, systemClock } from '../../kit/clock.ts'
import { systemRandom } from '../../kit/random.ts'
import { run } from '../../kit/run.ts'
import { RACKWARD_MAIN } from '../lab/root.ts'
import { freePort } from '../kit/free-port.ts'
import { Postgres } from './postgres.ts'
import { LIMITS, SEAL, uuid } from './store-conformance/bench.ts'

const PASSWORD = 'correct-horse-battery'
let server: Postgres
let port: number
let dir: string
let database: string

/** A certificate that the CA signed, for these names. */
async function signed(name: string, names: string, days = 2): Promise<{ cert: string; key: string }> {
  const at = (end: string) => join(dir, `${name}.${end}`)
  const openssl = (...argv: string[]) => promisify(execFile)('openssl', argv)
  await openssl('req', '-newkey', 'rsa:2048', '-nodes', '-subj', `/CN=${name}`, '-keyout', at('key'), '-out', at('csr'))
  await writeFile(at('ext'), `subjectAltName=${names}`)
  const ca = ['-CA', join(dir, 'ca.pem'), '-CAkey', join(dir, 'ca.key'), '-CAcreateserial']
  await openssl(
    'x509',
    '-req',
    '-in',
    at('csr'),
    ...ca,
    '-days',
    String(days),
    '-extfile',
    at('ext'),
    '-out',
    at('pem'),
  )
  return { cert: await readFile(at('pem'), 'utf8'), key: await readFile(at('key'), 'utf8') }
}

async function serveWith({ cert, key }: { cert: string; key: string }, ssl = 'on'): Promise<void> {
  await server.kill()
  const files = {
    ssl_cert_file: await server.file('server.pem', cert),
    ssl_key_file: await server.file('server.key', key),
  }
  await server.run({ ...files, ssl, listen_addresses: '127.0.0.1', port: String(port) })
}

beforeAll(async () => {
  server = await Postgres.start()
  port = await freePort()
  dir = join(server.dir, 'client')
  await mkdir(join(dir, 'data'), { recursive: true, mode: 0o700 })
  for (const name of ['ca', 'other']) {
    const { cert, key } = await selfSigned({ commonName: name, days: 2 })
    await writeFile(join(dir, `${name}.pem`), cert)
    await writeFile(join(dir, `${name}.key`), key, { mode: 0o600 })
  }
  await writeFile(join(dir, 'password'), `${PASSWORD}\n`, { mode: 0o600 })
  await writeFile(join(dir, 'wrong'), 'wrong-horse\n', { mode: 0o600 })
  database = await server.database()
  await server.sql('postgres', `ALTER ROLE rackward PASSWORD '${PASSWORD}'`)
  await server.file('data/pg_hba.conf', 'local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n')
  await serveWith(await signed('db', 'DNS:localhost,IP:127.0.0.1'))
}, 90_000)
afterAll(async () => {
  await server.stop()
  await rm(dir, { recursive: true, force: true })
})

const WHO = { monotonic: monotonicClock, random: systemRandom, hostname: 'test', group: '' }

const config = (more: Partial<PostgresConfig> = {}, host = 'localhost'): PostgresConfig => ({
  url: `postgresql://rackward@${host}:${port}/${database}`,
  passwordFile: join(dir, 'password'),
  tls: { caFile: join(dir, 'ca.pem') },
  conductors: 'one',
  connections: 4,
  ...more,
})

async function nodesOver(by: PostgresConfig): Promise<number> {
  const open = openPostgresOf(by, WHO)
  const { store, close } = await open(join(dir, 'data/rackward.db'), SEAL, { clock: systemClock, limits: LIMITS })
  try {
    return (await store.everyNode()).length
  } finally {
    await close()
  }
}
const refused = (text: string, code = 'store.broken') => ({ code, message: expect.stringContaining(text) as string })

test('the right CA, name and password: by name and by address, encrypted', async () => {
  expect(await nodesOver(config())).toBe(0)
  expect(await nodesOver(config({}, '127.0.0.1'))).toBe(0)
  // The server lets nobody in over TCP without TLS.
  const plain = nodesOver(config({ tls: 'off' }))
  await expect(plain).rejects.toMatchObject(refused('store.postgres.url'))
})

test('a CA that did not sign, none, and a file that is no certificate', async () => {
  const wrong = nodesOver(config({ tls: { caFile: join(dir, 'other.pem') } }))
  await expect(wrong).rejects.toMatchObject(refused('store.postgres.tls.caFile'))
  await expect(nodesOver(config({ tls: {} }))).rejects.toMatchObject(refused('store.postgres.tls.caFile'))
  const garbage = optionsOf(config({ tls: { caFile: join(dir, 'password') } }))
  await expect(garbage).rejects.toMatchObject(refused('store.postgres.tls: caFile', 'config.invalid'))
  const pair = { certFile: join(dir, 'ca.pem'), keyFile: join(dir, 'other.key') }
  await expect(optionsOf(config({ tls: pair }))).rejects.toMatchObject(refused('certFile, keyFile', 'config.invalid'))
  await expect(optionsOf(config({ tls: { certFile: pair.certFile } }))).rejects.toMatchObject(
    refused('belong together', 'config.invalid'),
  )
})

test('a wrong password, none, a user and a database that are not there: no password in the message', async () => {
  const wrong = await nodesOver(config({ passwordFile: join(dir, 'wrong') })).catch((error: unknown) => error)
  expect(wrong).toMatchObject(refused('store.postgres.passwordFile'))
  expect(JSON.stringify([wrong, String(wrong), String((wrong as Error).cause)])).not.toContain('wrong-horse')
  const { passwordFile: _, ...none } = config()
  await expect(nodesOver(none)).rejects.toMatchObject(refused('asks for a password'))
  const url = (user: string, name: string, at = port) => `postgresql://${user}@localhost:${at}/${name}`
  await expect(nodesOver(config({ url: url('nobody', database) }))).rejects.toMatchObject(refused('refuses this user'))
  await expect(nodesOver(config({ url: url('rackward', 'gone') }))).rejects.toMatchObject(refused('no such database'))
  const closed = config({ url: url('rackward', database, await freePort()) })
  await expect(nodesOver(closed)).rejects.toMatchObject(refused('no database server answers there'))
})

test('a user who may not create tables is told what to do', async () => {
  await server.sql('postgres', `CREATE ROLE guest LOGIN PASSWORD '${PASSWORD}'`)
  await server.sql(database, 'REVOKE CREATE ON SCHEMA public FROM PUBLIC')
  const other = await server.database()
  await server.sql(other, 'REVOKE CREATE ON SCHEMA public FROM PUBLIC')
  const guest = config({ url: `postgresql://guest@localhost:${port}/${other}` })
  await expect(nodesOver(guest)).rejects.toMatchObject(refused('make it the owner of the database'))
})

test('a certificate for another name, and one that has expired', async () => {
  await serveWith(await signed('elsewhere', 'DNS:elsewhere.example'))
  for (const host of ['localhost', '127.0.0.1'])
    await expect(nodesOver(config({}, host))).rejects.toMatchObject(refused('is for another name'))
  // Node.js asks about "localhost" where it is told no name: an address is not that.
  await serveWith(await signed('name', 'DNS:localhost'))
  expect(await nodesOver(config())).toBe(0)
  await expect(nodesOver(config({}, '127.0.0.1'))).rejects.toMatchObject(refused('is for another name'))
  await serveWith(await signed('old', 'DNS:localhost', -1))
  await expect(nodesOver(config())).rejects.toMatchObject(refused('not valid at this time'))
})

test('a server that offers no TLS, whoever it is', async () => {
  await serveWith(await signed('plain', 'DNS:localhost'), 'off')
  await expect(nodesOver(config())).rejects.toMatchObject(
    refused('store.postgres.tls: the database server offers no TLS'),
  )
})

test('a process of its own: the password is in no argument and in nothing that it says', async () => {
  await serveWith(await signed('again', 'DNS:localhost'))
  const file = join(dir, 'conductor.yaml')
  await writeFile(join(dir, 'data/secret.key'), `${Buffer.alloc(32, 1).toString('hex')}\n`, { mode: 0o600 })
  const rest = { images: { store: join(dir, 'images') }, api: { auth: { strategy: 'noauth' } } }
  await writeFile(file, stringify({ data: join(dir, 'data'), ...rest, store: { postgres: config() } }))
  const open = openPostgresOf(config(), WHO)
  const parts = { clock: systemClock, limits: LIMITS }
  const { store, close } = await open(join(dir, 'data/rackward.db'), SEAL, parts)
  await store.addNode(newNode({ uuid: uuid(1), driver: 'ipmi' }, 1))
  await close()
  const argv = [process.execPath, RACKWARD_MAIN, 'store', 'migrate', '--from', 'postgres', '--to', 'sqlite']
  const moved = await run([...argv, '--config', file], { timeoutMs: 60_000 })
  expect(moved).toMatchObject({ code: 0, stderr: '' })
  expect(moved.stdout).toContain('nodes: 1 of 1')
  expect(moved.stdout + moved.stderr).not.toContain(PASSWORD)
  const sessions = await server.sql(database, 'SELECT pg_stat_activity::text AS text FROM pg_stat_activity')
  expect(JSON.stringify(sessions)).not.toContain(PASSWORD)
})
