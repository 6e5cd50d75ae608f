/** Our client and our configuration of Consul, on a real one. */
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import npmConsul from 'consul'
import { ensureConsul } from '../../kit/setup/consul.mjs'
import { until } from '../../kit/clock.ts'
import { Consul } from '../../kit/consul.ts'
import { piped, run } from '../../kit/run.ts'
import { systemRandom } from '../../kit/random.ts'
import { consulConfig } from '../../host-agent/setup/consul-config.ts'
import { initMesh } from '../../host-agent/setup/init.ts'

describe('Consul', () => {
  const binary = process.env.RACKWARD_CONSUL ?? ensureConsul()
  let dir: string
  let consul: Consul
  const port = 20_000 + (process.pid % 10_000)
  let child: ReturnType<typeof piped>
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'rackward-consul-'))
    child = piped([
      binary,
      'agent',
      '-dev',
      `-data-dir=${dir}`,
      `-http-port=${port}`,
      '-dns-port=-1',
      '-grpc-port=-1',
      `-server-port=${port + 1}`,
      `-serf-lan-port=${port + 2}`,
      '-serf-wan-port=-1',
      '-log-level=err',
    ])
    child.stdout.resume()
    consul = new Consul({ url: `http://127.0.0.1:${port}` })
    await until(() => consul.leader().catch(() => undefined), { what: 'Consul', timeoutMs: 30_000 })
  }, 40_000)
  afterAll(async () => {
    consul.close()
    child.stop()
    await child.done.catch(() => undefined)
    await rm(dir, { recursive: true, force: true })
  })

  test('compare-and-set, transactions of all or none, and waiting for news', async () => {
    expect(await consul.cas('rackward/x', { a: 1 }, 0)).toBe(true)
    expect(await consul.cas('rackward/x', { a: 2 }, 0)).toBe(false)
    const held = await consul.get('rackward/x', { consistent: true })
    expect(held?.value).toEqual({ a: 1 })
    const index = held?.index ?? 0
    expect(
      await consul.txn([
        { verb: 'cas', key: 'rackward/x', value: { a: 3 }, index },
        { verb: 'check-not-exists', key: 'rackward/x' },
      ]),
    ).toBeUndefined()
    expect((await consul.get('rackward/x'))?.value).toEqual({ a: 1 })
    const { index: seen } = await consul.tree('rackward/')
    const news = consul.tree('rackward/', { index: seen, waitMs: 5_000 })
    expect(await consul.txn([{ verb: 'cas', key: 'rackward/x', value: { a: 4 }, index }])).toBeGreaterThan(index)
    expect((await news).entries.map(({ value }) => value)).toEqual([{ a: 4 }])
    expect(await consul.deleteCas('rackward/x', (await consul.get('rackward/x'))?.index ?? 0)).toBe(true)
    expect(await consul.get('rackward/x')).toBeUndefined()
  })

  test('the lock: one holder, an epoch that rises, no write without it', async () => {
    const make = () => consul.createSession({ name: 't', ttlSeconds: 10, lockDelaySeconds: 1 })
    const [one, two] = [await make(), await make()]
    const first = await consul.acquire('rackward/leader', one, { name: 'a1' })
    expect(first).toBeGreaterThan(0)
    expect(await consul.acquire('rackward/leader', two, { name: 'a2' })).toBe(false)
    expect(await consul.acquire('rackward/leader', one, { name: 'a1' })).toBe(first)
    expect(
      await consul.txn([
        { verb: 'check-session', key: 'rackward/leader', session: two },
        { verb: 'cas', key: 'rackward/y', value: 1, index: 0 },
      ]),
    ).toBeUndefined()
    await consul.release('rackward/leader', one)
    expect(await consul.acquire('rackward/leader', two, { name: 'a2' })).toBe((first as number) + 1)
    await consul.destroySession(two)
    expect(await consul.renewSession(two)).toBe(false)
  })

  test('the npm client reads what ours wrote', async () => {
    await consul.cas('rackward/z', 'text', 0)
    const peer = new (
      npmConsul as unknown as new (options: object) => { kv: { get(key: string): Promise<{ Value: string }> } }
    )({ host: '127.0.0.1', port })
    expect(JSON.parse((await peer.kv.get('rackward/z')).Value)).toBe('text')
  })

  test('"mesh init" writes a configuration that Consul takes, and nothing that others can read', async () => {
    const directory = join(dir, 'mesh')
    const made = await initMesh({ name: 'a1', address: '127.0.0.1', directory }, { run, random: systemRandom, binary })
    expect((await run([binary, 'validate', made.configDirectory], { timeoutMs: 20_000 })).code).toBe(0)
    for (const name of ['config/rackward.json', 'token', 'management.token', 'shared.json'])
      expect((await stat(join(directory, name))).mode & 0o077).toBe(0)
    await expect(
      initMesh({ name: 'a1', address: '127.0.0.1', directory }, { run, random: systemRandom, binary }),
    ).rejects.toThrow(/has a mesh already/)
    const config = JSON.parse(await readFile(join(made.configDirectory, 'rackward.json'), 'utf8'))
    expect(config).toMatchObject({
      client_addr: '127.0.0.1',
      acl: { default_policy: 'deny' },
      encrypt_verify_incoming: true,
      verify_incoming_rpc: true,
    })
  })

  test('today’s Consul gets its own words', () => {
    const config = consulConfig({
      version: { major: 1, minor: 18 },
      name: 'h1',
      server: false,
      address: '10.0.0.1',
      dataDir: '/d',
      gossipKey: 'k',
      begins: false,
      join: ['10.0.0.2'],
      token: 't',
      tls: { ca: '/ca' },
    })
    expect(config).toMatchObject({
      tls: { internal_rpc: { verify_server_hostname: true } },
      auto_encrypt: { tls: true },
    })
    expect(config).not.toHaveProperty('verify_outgoing')
  })
})
