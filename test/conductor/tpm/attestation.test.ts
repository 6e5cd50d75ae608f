/** Proofs of boots at the conductor: challenged, judged once, kept in the record; what is given before, and what is
 *  not. The TPMs are real ones in software. */
import { createHash } from 'node:crypto'
import { afterEach, expect, test } from 'vitest'
import { Attestation } from '../../../conductor/agents/attestation.ts'
import type { TpmCall } from '../../../conductor/api/tpm-wire.ts'
import { gateOf, noJumpWhy, tpmMode, withAccepted, withFinding } from '../../../conductor/node/policy/tpm.ts'
import { causesOfTpm } from '../../../conductor/node/query/explain-tpm.ts'
import { newNode, type NodeRecord } from '../../../conductor/node/record.ts'
import type { StepEvent } from '../../../conductor/node/workflow/events.ts'
import { EVENT, parseEventLog } from '../../../conductor/tpm/event-log.ts'
import { Tpm } from '../../../host-agent/deploy/tpm/commands.ts'
import { proveBoot } from '../../../host-agent/deploy/tpm/prove.ts'
import { FAULTS } from '../../../kit/fault.ts'
import { silentLog } from '../../../kit/log.ts'
import { systemRandom } from '../../../kit/random.ts'
import { run } from '../../../kit/run.ts'
import { HandClock } from '../../kit/hand-clock.ts'
import { LIMITS, LOG, SERVED } from './golden.ts'
import { Swtpm } from './swtpm.ts'

const opened: Swtpm[] = []
afterEach(async () => {
  for (const one of opened.splice(0)) await one.end()
})
async function booted(): Promise<Swtpm> {
  const device = await Swtpm.start()
  opened.push(device)
  for (const { pcr, type, digest } of parseEventLog(LOG, LIMITS))
    if (type !== EVENT.noAction) await device.extend(pcr, digest)
  return device
}

const bootOf = (session: string, generation = 1) => ({
  sessionHash: createHash('sha256').update(session).digest('hex'),
  generation,
  tokenMs: generation,
  helloAtMs: 0,
})
const ORDER = { id: '1', kind: 'rescue', passwordHash: 'a secret' } as const

/** One node, and the conductor's side of its proofs. */
function bench(tpm: 'observe' | 'require') {
  const clock = new HandClock()
  const at = {
    node: newNode({ uuid: 'a', driver: 'ipmi', driverInfo: { tpm }, agent: bootOf('one') }, 0),
    events: [] as unknown[],
    failures: [] as StepEvent[],
    served: SERVED as typeof SERVED | undefined,
  }
  const attestation = new Attestation({
    worker: {
      change: async (
        _uuid: string,
        change: (node: NodeRecord) => Promise<NodeRecord | { node: NodeRecord; events?: unknown[] }>,
      ) => {
        const changed = await change(at.node)
        at.node = 'node' in changed ? changed.node : changed
        if ('node' in changed) at.events.push(...(changed.events ?? []))
        return at.node
      },
      dispatch: (_uuid: string, event: StepEvent) => {
        at.failures.push(event)
        return Promise.resolve(at.node)
      },
    } as never,
    tokenKey: Buffer.alloc(32, 7),
    clock,
    random: systemRandom,
    log: silentLog,
    servedTo: () => Promise.resolve(at.served),
    limits: { tpmLogEvents: 4096, tpmSeconds: 180 },
  })
  const calls: TpmCall[] = []
  const ask = (call: TpmCall) => {
    calls.push(call)
    return attestation.answer(at.node, call)
  }
  const prove = (device: Swtpm, log = LOG) =>
    proveBoot({
      run,
      clock,
      ask,
      device: () => Promise.resolve(device),
      log: () => Promise.resolve(log),
      say: () => undefined,
    })
  const reboot = (session: string, generation: number) => {
    at.node = { ...at.node, agent: bootOf(session, generation) }
  }
  return { at, clock, attestation, ask, calls, prove, reboot }
}

test('a proven boot is given what is secret, and nothing before; what is proven is kept with the node', async () => {
  const { at, attestation, prove } = bench('require')
  expect(await attestation.release(at.node, ORDER)).toBeNull()
  expect(() => attestation.mustBeProven(at.node)).toThrow(expect.objectContaining({ code: 'tpm.silent' }))
  expect(await attestation.release(at.node, { id: '1', kind: 'inspect' })).not.toBeNull()

  await prove(await booted())
  expect(at.node.tpm?.proof).toMatchObject({ verdict: 'proved', by: 'grub', secureBoot: true, code: null, changed: [] })
  expect(at.node.tpm?.ek).toMatch(/^[0-9a-f]{64}$/)
  expect(at.events).toMatchObject([{ kind: 'tpm', detail: { verdict: 'proved' } }])
  expect(await attestation.release(at.node, ORDER)).toBe(ORDER)
  attestation.mustBeProven(at.node)
  expect(at.failures).toEqual([])
})

test('another TPM is a fault until an operator accepts it, and then it is the one of the node', async () => {
  const { at, attestation, prove, reboot } = bench('require')
  await prove(await booted())
  const first = at.node.tpm?.ek
  reboot('two', 2)
  expect(await attestation.release(at.node, ORDER)).toBeNull()
  await prove(await booted())
  expect(at.node.tpm).toMatchObject({ ek: first, proof: { verdict: 'failed', code: 'tpm.replaced' } })
  expect(await attestation.release(at.node, ORDER)).toBeNull()
  expect(at.failures).toMatchObject([{ type: 'agent-failed', fault: { code: 'tpm.replaced', retry: false } }])
  expect(causesOfTpm(at.node)).toMatchObject([{ remedy: FAULTS['tpm.replaced'].remedy }])

  expect(() => withAccepted(at.node.tpm, 9, 'ab'.repeat(32))).toThrow(/has booted with the TPM [0-9a-f]{64} since/)
  at.node = { ...at.node, tpm: withAccepted(at.node.tpm, 9, at.node.tpm?.proof?.ek ?? '') }
  expect(at.node.tpm).toMatchObject({ sinceMs: 9, proof: { verdict: 'proved', code: null } })
  expect(at.node.tpm?.ek).not.toBe(first)
  expect(await attestation.release(at.node, ORDER)).toBe(ORDER)
  expect(() => withAccepted(at.node.tpm, 10)).toThrow(expect.objectContaining({ code: 'object.conflict' }))
})

test('a boot is judged once, and a proof of the boot before proves nothing of this one', async () => {
  const { at, calls, ask, prove, reboot } = bench('require')
  const device = await booted()
  await prove(device)
  const old = calls.at(-1) as TpmCall
  const proof = at.node.tpm?.proof
  // Its answer was lost: the agent sends it again.
  expect(await ask(old)).toEqual({})
  expect(at.node.tpm?.proof).toBe(proof)
  reboot('two', 2)
  await ask(old)
  expect(at.node.tpm?.proof).toMatchObject({ verdict: 'failed', code: 'tpm.quote' })
  // What was judged stays: a second try in the same boot changes nothing.
  await prove(device)
  expect(at.node.tpm?.proof?.verdict).toBe('failed')
})

test('a session secret of an earlier boot that comes again does not bring its proof back', async () => {
  const { at, attestation, ask, prove, reboot } = bench('require')
  await prove(await booted())
  expect(await attestation.release(at.node, ORDER)).toBe(ORDER)
  // Whoever was in the ramdisk of the boot before knows its session.
  reboot('one', 2)
  expect(await attestation.release(at.node, ORDER)).toBeNull()
  expect(() => attestation.mustBeProven(at.node)).toThrow(expect.objectContaining({ code: 'tpm.silent' }))
  await ask({ say: 'failed', code: 'tpm.failed', text: '' })
  expect(at.node.tpm?.proof).toMatchObject({ verdict: 'failed', generation: 2 })
})

test('an endorsement key that is no key of RSA is refused by name', async () => {
  const { ask, at } = bench('require')
  const device = await booted()
  const tpm = new Tpm(device.transmit)
  const [ek, ak] = [(await tpm.endorsementKey()).area, (await tpm.attestationKey()).area]
  const even = Buffer.from(ek)
  even[even.length - 1] = (even.at(-1) ?? 0) & 0xfe
  for (const area of [even, Buffer.concat([ek.subarray(0, -256), Buffer.alloc(256)])]) {
    const keys = { ek: area.toString('base64'), ak: ak.toString('base64') }
    await expect(ask({ say: 'keys', ...keys })).rejects.toMatchObject({ code: 'tpm.quote' })
  }
  expect(at.node.tpm).toBeNull()
})

test('a log that was cut, bytes that were not served and a TPM that is not there are told by their names', async () => {
  const cases = [
    { act: async ({ prove }: ReturnType<typeof bench>) => prove(await booted(), LOG.subarray(0, -9)), code: 'tpm.log' },
    {
      act: async ({ prove, at }: ReturnType<typeof bench>) => {
        at.served = { ...SERVED, initrd: Buffer.alloc(32) }
        await prove(await booted())
      },
      code: 'tpm.served',
    },
    {
      act: ({ ask }: ReturnType<typeof bench>) => ask({ say: 'failed', code: 'tpm.absent', text: 'no /dev/tpmrm0' }),
      code: 'tpm.absent',
    },
    {
      act: ({ ask }: ReturnType<typeof bench>) => ask({ say: 'failed', code: 'node.state', text: '' }),
      code: 'tpm.failed',
    },
  ]
  for (const { act, code } of cases) {
    const made = bench('require')
    await act(made)
    expect(made.at.node.tpm?.proof).toMatchObject({ verdict: 'failed', code })
    expect(made.at.node.tpm?.ek).toBeNull()
    await made.attestation.release(made.at.node, ORDER)
    expect(made.at.failures).toMatchObject([{ fault: { code } }])
  }
})

test('where it is only observed, a TPM that does not work changes nothing; a proof against the boot keeps it from a jump', async () => {
  const { at, attestation, ask, reboot } = bench('observe')
  expect(await attestation.release(at.node, ORDER)).toBe(ORDER)
  await ask({ say: 'failed', code: 'tpm.locked', text: 'a password' })
  expect(await attestation.release(at.node, ORDER)).toBe(ORDER)
  attestation.mustBeProven(at.node)
  expect(causesOfTpm(at.node)).toMatchObject([{ cause: FAULTS['tpm.locked'].description }])
  expect(noJumpWhy(at.node)).toBeUndefined()
  reboot('two', 2)
  await ask({ say: 'failed', code: 'tpm.quote', text: 'no key' })
  expect(noJumpWhy(at.node)).toMatch(/in doubt \(tpm\.quote\)/)
})

test('an agent that sends no proof in time is told so, and the order ends', async () => {
  const { at, clock, attestation } = bench('require')
  clock.pass(179_000)
  expect(await attestation.release(at.node, ORDER)).toBeNull()
  expect(at.failures).toEqual([])
  clock.pass(2_000)
  expect(await attestation.release(at.node, ORDER)).toBeNull()
  expect(at.failures).toMatchObject([{ fault: { code: 'tpm.silent' } }])
})

test('decisions: modes, gates, jumps, and what a second proof changes', () => {
  const found = { atMs: 1, generation: 1, tokenMs: 1, sessionHash: 's', ek: 'a', verdict: 'partial', code: null, text: 'iPXE', by: null, secureBoot: null, firmware: { 0: 'x', 7: 'y' } } as const // prettier-ignore
  const node = (tpm: unknown, more: Partial<NodeRecord> = {}) => ({
    ...newNode({ uuid: 'a', driver: 'ipmi', driverInfo: { tpm } }, 0),
    agent: { sessionHash: 's', generation: 1, tokenMs: 1, helloAtMs: 0 },
    ...more,
  })
  expect([undefined, null, 'off', 'require'].map((tpm) => tpmMode(node(tpm)))).toEqual([
    'observe',
    'observe',
    'off',
    'require',
  ])
  expect(() => tpmMode(node('on'))).toThrow(expect.objectContaining({ code: 'input.invalid' }))

  const partial = withFinding(null, found)
  const at = { nowMs: 0, waitMs: 1000 }
  expect(gateOf(node('require', { tpm: partial }), at)).toMatchObject({ gate: 'shut', code: 'tpm.unmeasured' })
  expect(gateOf(node('observe', { tpm: partial }), at)).toEqual({ gate: 'open' })
  // A value that nobody knows, from a record that was changed elsewhere, asks for the most.
  expect(gateOf(node('typo'), at)).toEqual({ gate: 'hold' })
  expect([noJumpWhy(node('off', { tpm: partial })), noJumpWhy(node('observe', { tpm: partial }))]).toEqual([
    undefined,
    undefined,
  ])
  expect(noJumpWhy(node('require', { tpm: partial }))).toMatch(/does not measure a jump/)
  expect(withFinding(partial, { ...found, firmware: { 0: 'x', 7: 'z' } }).proof?.changed).toEqual(['7'])
  // A boot that said nothing between the two hides no change.
  const silent = withFinding(partial, { ...found, verdict: 'failed', code: 'tpm.failed', ek: null, firmware: {} })
  expect(silent.proof?.changed).toEqual([])
  expect(withFinding(silent, { ...found, firmware: { 0: 'x', 7: 'z' } }).proof?.changed).toEqual(['7'])
})
