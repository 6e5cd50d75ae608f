/** BMC credentials that the conductor seals for arbiters: they open for that arbiter and that host alone. */
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { aboutBmc } from '../../conductor/bmc/info.ts'
import { BmcCredentials } from '../../conductor/mesh/credentials.ts'
import { DirectPower, fileSource, sealedSource } from '../../host-agent/adapters/bmc.ts'
import { newIdentity } from '../../host-agent/protocol/keys.ts'
import { monotonicClock } from '../../kit/clock.ts'
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
    const power = new DirectPower([sealed], { run: run as never, clock: monotonicClock })
    expect(await ask(power, 'h1')).toMatchObject({ power: 'on' })
    expect(asked.every(({ argv }) => !argv.includes('right'))).toBe(true)
    expect(asked.some(({ password }) => password === 'right')).toBe(true)
  })
  test('a box that was put under another host’s name does not open', async () => {
    const power = new DirectPower([sealed], { run: run as never, clock: monotonicClock })
    await expect(ask(power, 'h2')).rejects.toMatchObject({ code: 'secret.key' })
    await expect(ask(power, 'h3')).rejects.toMatchObject({ code: 'bmc.config' })
  })
  test('a file comes first, and must be nobody else’s to read', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'rackward-sealed-'))
    const file = join(dir, 'bmcs.yaml')
    await writeFile(file, 'h1: { ipmi_address: 192.0.2.9, ipmi_username: u, ipmi_password: other }\n', { mode: 0o600 })
    const power = new DirectPower([fileSource(file), sealed], { run: run as never, clock: monotonicClock })
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
  const node = (password: string) =>
    [
      { uuid: 'u1', name: 'n1', driver: 'ipmi', driverInfo: { ...INFO, ipmi_password: password, deploy_kernel: 'x' } },
    ] as never
  const credentials = new BmcCredentials(link as never)
  expect(await credentials.share(registry, node('right'))).toEqual(['h1'])
  expect(await credentials.share(registry, node('right'))).toEqual([])
  expect(await credentials.share(registry, node('new'))).toEqual(['h1'])
  expect(sent.map(({ path }) => path)).toEqual(['/rackward/v1/mesh/hosts/h1/bmc', '/rackward/v1/mesh/hosts/h1/bmc'])
  expect(JSON.parse(a2.openBox(sent[0]?.sealed.a2 as string, aboutBmc('h1', 'a2')))).toEqual(INFO)
  expect(JSON.stringify(sent)).not.toContain('right')
})
