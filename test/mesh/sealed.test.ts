/** BMC credentials that the conductor seals for arbiters: they open for that arbiter and that host alone. */
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { aboutBmc } from '../../conductor/bmc/info.ts'
import { BmcCredentials } from '../../conductor/mesh/credentials.ts'
import { DirectPower, fileSource, sealedSource } from '../../host-agent/adapters/bmc.ts'
import { newNode, type NodeRecord } from '../../conductor/node/record.ts'
import { newIdentity } from '../../host-agent/protocol/keys.ts'
import { monotonicClock, systemClock } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'
import { sealBox } from '../../kit/sealed-box.ts'

const [a1, a2] = [newIdentity('a1'), newIdentity('a2')]
const INFO = { ipmi_address: '192.0.2.1', ipmi_username: 'admin', ipmi_password: 'right' }

describe('a sealed box', () => {
  test('opens for its reader and its place, whatever is in it', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 400 }), fc.string({ maxLength: 40 }), (text, about) => {
        const box = sealBox(a1.publicKey, text, about)
        expect(a1.openBox(box, about)).toBe(text)
        expect(() => a2.openBox(box, about)).toThrow(/does not open/)
        expect(() => a1.openBox(box, `${about}x`)).toThrow(/does not open/)
      }),
      { numRuns: 40 },
    )
  })
  test('no bit of it may change, no byte be missing', () => {
    const bytes = Buffer.from(sealBox(a1.publicKey, 'secret', 'x'), 'base64')
    for (let i = 0; i < bytes.length; i += 1) {
      const changed = Buffer.from(bytes)
      changed[i] = (changed[i] as number) ^ 1
      expect(() => a1.openBox(changed.toString('base64'), 'x')).toThrow(/does not open/)
      expect(() => a1.openBox(bytes.subarray(0, i).toString('base64'), 'x')).toThrow(/does not open/)
    }
  })
})

describe('where an arbiter finds credentials', () => {
  const box = sealBox(a1.publicKey, JSON.stringify(INFO), aboutBmc('h1', 'a1'))
  const source = (host: string) => (host === 'h1' || host === 'h2' ? box : undefined)
  const sealed = sealedSource({ name: 'a1', sealed: source, open: (text, about) => a1.openBox(text, about) })
  const asked: { argv: readonly string[]; password: string | undefined }[] = []
  const run = async (argv: readonly string[], options: { env?: Record<string, string> }) => {
    asked.push({ argv, password: options.env?.IPMI_PASSWORD })
    return {
      code: 0,
      stdout: argv.includes('guid') ? 'System GUID  : a1234567-89ab-cdef-a123-456789abcdef\n' : 'Chassis Power is on\n',
      stderr: '',
    }
  }
  const ask = (power: DirectPower, host: string) => power.ask({ name: host }, 'identify', new AbortController().signal)

  test('what was sealed for it is used, and goes nowhere but to the program that needs it', async () => {
    const power = new DirectPower([sealed], { run: run as never, clock: monotonicClock, ipmiClient: 'ipmitool' })
    expect(await ask(power, 'h1')).toMatchObject({ power: 'on' })
    expect(asked.every(({ argv }) => !argv.includes('right'))).toBe(true)
    expect(asked.some(({ password }) => password === 'right')).toBe(true)
  })
  test('a box that was put under another host’s name does not open', async () => {
    const power = new DirectPower([sealed], { run: run as never, clock: monotonicClock, ipmiClient: 'ipmitool' })
    await expect(ask(power, 'h2')).rejects.toMatchObject({ code: 'secret.key' })
    await expect(ask(power, 'h3')).rejects.toMatchObject({ code: 'bmc.config' })
  })
  test('a file comes first, and must be nobody else’s to read', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'rackward-sealed-'))
    const file = join(dir, 'bmcs.yaml')
    await writeFile(file, 'h1: { ipmi_address: 192.0.2.9, ipmi_username: u, ipmi_password: other }\n', { mode: 0o600 })
    const power = new DirectPower([fileSource(file), sealed], {
      run: run as never,
      clock: monotonicClock,
      ipmiClient: 'ipmitool',
    })
    asked.length = 0
    await ask(power, 'h1')
    expect(asked.every(({ password }) => password === 'other')).toBe(true)
    await chmod(file, 0o644)
    await expect(ask(power, 'h1')).rejects.toMatchObject({ code: 'secret.key' })
    await rm(dir, { recursive: true })
  })
})

test('the conductor sends each host’s credentials once, sealed for every arbiter, and again when they change', async () => {
  const sent: { path: string; sealed: Record<string, string> }[] = []
  const hosts = [
    { name: 'h1', node: 'n1', bmc_sealed: false },
    { name: 'h9', node: null, bmc_sealed: false },
  ]
  const registry = {
    hosts: hosts as never,
    arbiters: [a1, a2].map(({ name, publicKey }) => ({ name, public_key: publicKey })),
  }
  const link = {
    request: async (_: string, path: string, { body }: { body: { sealed: Record<string, string> } }) => {
      sent.push({ path, sealed: body.sealed })
      ;(hosts[0] as { bmc_sealed: boolean }).bmc_sealed = true
      return { status: 200, body: {} }
    },
  }
  const node = (password: string) => [
    newNode(
      {
        uuid: 'u1',
        name: 'n1',
        driver: 'ipmi',
        driverInfo: { ...INFO, ipmi_password: password, deploy_kernel: 'x' },
      },
      0,
    ),
  ]
  const credentials = new BmcCredentials(link as never, monotonicClock)
  expect(await credentials.share(registry, node('right'))).toEqual(['h1'])
  expect(await credentials.share(registry, node('right'))).toEqual([])
  expect(await credentials.share(registry, node('new'))).toEqual(['h1'])
  expect(sent.map(({ path }) => path)).toEqual(['/rackward/v1/mesh/hosts/h1/bmc', '/rackward/v1/mesh/hosts/h1/bmc'])
  expect(JSON.parse(a2.openBox(sent[0]?.sealed.a2 as string, aboutBmc('h1', 'a2')))).toEqual(INFO)
  expect(JSON.stringify(sent)).not.toContain('right')
})

describe('a BMC that updates itself', () => {
  const TASK = { what: 'firmware', hush: 'the BMC installs new firmware', deadlineMs: 600_000 } as never
  const clock = { ...systemClock, now: () => 0 }
  const made = newNode({ uuid: 'u1', name: 'h1', driver: 'ipmi', driverInfo: INFO, version: 7 }, 0)
  const at = (version: number, workflow: Partial<NodeRecord['workflow']>): NodeRecord => ({
    ...made,
    version,
    workflow: { ...made.workflow, pendingVersion: 3, ...workflow },
  })
  const beginning = at(7, { pendingEffects: [{ do: 'bmc-begin' }] })
  function bench(status = 200) {
    const sent: unknown[] = []
    const registry = {
      hosts: [{ name: 'h1', node: null, hold: null, bmc_sealed: true }],
      arbiters: [{ name: 'a1', public_key: a1.publicKey }],
    }
    const link = {
      registry: async () => registry,
      request: async (_method: string, _path: string, { body }: { body: { updating?: unknown } }) => {
        sent.push(body.updating)
        return { status, body: {} }
      },
    }
    const credentials = new BmcCredentials(link as never, clock)
    return { sent, credentials, link, registry, share: (node: NodeRecord) => credentials.share(registry, [node]) }
  }

  test('is announced before its record says so, stays announced until then, and is taken back when it is done', async () => {
    const { sent, credentials, share } = bench()
    await credentials.announce(beginning, { why: 'the BMC installs new firmware', untilMs: 600_000 })
    const updating = { id: '1970-01-01T00:10:00+00:00', why: 'the BMC installs new firmware', seconds: 600 }
    expect(sent).toEqual([updating])
    // What was read before the announcement, and what somebody else changed while the order is on its way.
    await share({ ...made, version: 6 })
    await share(at(8, { pendingEffects: [{ do: 'bmc-begin' }] }))
    await share(at(9, { bmcTask: TASK }))
    expect(sent).toEqual([updating])
    await share(at(12, { bmcTask: null }))
    expect(sent).toEqual([updating, undefined])
  })

  test('a conductor that was restarted meanwhile says it by the record', async () => {
    const { sent, share } = bench()
    await share(at(9, { bmcTask: TASK }))
    expect(sent).toMatchObject([{ seconds: 600 }])
  })

  test('waits for arbiters that do not take it; a node that is no host asks nobody', async () => {
    const { credentials, sent } = bench(503)
    const update = { why: 'x', untilMs: 1_000 }
    const refused = { code: 'mesh.refused', retry: true, detail: expect.stringContaining('answered 503') }
    await expect(credentials.announce(beginning, update)).rejects.toMatchObject(refused)
    sent.length = 0
    await credentials.announce({ ...beginning, name: 'h2' }, update)
    expect(sent).toEqual([])
  })

  test('an arbiter that refuses it is named as the cause, not a lookup that failed', () => {
    expect(new Fault('mesh.refused', 'x').message).not.toMatch(/Consul|type the name/)
  })

  const kept = (credentials: BmcCredentials, what: 'announced' | 'sent') => [
    ...(Reflect.get(credentials, what) as ReadonlyMap<string, unknown>).keys(),
  ]
  const update = { why: 'x', untilMs: 600_000 }

  test('leaves nothing behind for a node that is no host, and where the arbiters did not take it', async () => {
    const { credentials } = bench()
    for (let n = 0; n < 50; n += 1)
      await credentials.announce({ ...beginning, uuid: `other-${n}`, name: `other-${n}` }, update)
    expect(kept(credentials, 'announced')).toEqual([])
    const refusing = bench(503).credentials
    await refusing.announce(beginning, update).catch(() => undefined)
    expect(kept(refusing, 'announced')).toEqual([])
  })

  test('stays announced when it is announced again and nobody takes that: the order may be under way', async () => {
    const { credentials, link } = bench()
    await credentials.announce(beginning, update)
    link.registry = () => Promise.reject(new Fault('mesh.leaderless', 'no leader'))
    await expect(credentials.announce(beginning, update)).rejects.toMatchObject({ code: 'mesh.leaderless' })
    expect(kept(credentials, 'announced')).toEqual(['u1'])
  })

  test('is forgotten with its host', async () => {
    const { credentials, registry } = bench()
    await credentials.announce(beginning, update)
    expect([kept(credentials, 'announced'), kept(credentials, 'sent')]).toEqual([['u1'], ['h1']])
    await credentials.share({ ...registry, hosts: [] }, [])
    expect([kept(credentials, 'announced'), kept(credentials, 'sent')]).toEqual([[], []])
  })
})
