/** The agent's side against a real TPM in software: it proves a boot, and says by name what keeps it from it. */
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { afterEach, expect, test } from 'vitest'
import { QUOTED_PCRS, type TpmCall } from '../../../conductor/api/tpm-wire.ts'
import { makeCredential } from '../../../conductor/tpm/credential.ts'
import { EVENT, parseEventLog } from '../../../conductor/tpm/event-log.ts'
import { attestationKey, endorsementKey, fingerprintOf } from '../../../conductor/tpm/keys.ts'
import { checkProof, checkServed, type Proof } from '../../../conductor/tpm/verify.ts'
import { Tpm } from '../../../host-agent/deploy/tpm/commands.ts'
import { openTpm } from '../../../host-agent/deploy/tpm/device.ts'
import { proveBoot } from '../../../host-agent/deploy/tpm/prove.ts'
import { systemClock, until } from '../../../kit/clock.ts'
import { isFault } from '../../../kit/fault.ts'
import { run } from '../../../kit/run.ts'
import { HandClock } from '../../kit/hand-clock.ts'
import { LIMITS, LOG, SERVED } from './golden.ts'
import { sha256, Swtpm } from './swtpm.ts'

const opened: Swtpm[] = []
afterEach(async () => {
  for (const one of opened.splice(0)) await one.end()
})
async function tpm(): Promise<Swtpm> {
  const made = await Swtpm.start()
  opened.push(made)
  return made
}

const clock = systemClock
const NONCE = sha256('this boot')
const SECRET = sha256('what the credential holds')
const WANTED = { secret: SECRET, nonce: NONCE, pcrs: QUOTED_PCRS, limits: LIMITS }
const bytes = (text: string) => Buffer.from(text, 'base64')

/** A conductor that challenges the keys that it is shown, or others. */
function conductor(others: { ak?: Buffer; ek?: Buffer } = {}) {
  const calls: TpmCall[] = []
  const ask = (call: TpmCall) => {
    calls.push(call)
    if (call.say !== 'keys') return Promise.resolve({})
    const made = makeCredential(
      endorsementKey(others.ek ?? bytes(call.ek)).key,
      attestationKey(others.ak ?? bytes(call.ak)).name,
      { secret: SECRET, random: randomBytes },
    )
    const challenge = {
      credential: made.credential.toString('base64'),
      secret: made.secret.toString('base64'),
      nonce: NONCE.toString('base64'),
    }
    return Promise.resolve({ challenge })
  }
  return { ask, calls }
}

const prove = async (device: Swtpm, said: ReturnType<typeof conductor>) => {
  await proveBoot({
    run,
    clock,
    ask: said.ask,
    device: () => Promise.resolve(device),
    log: () => Promise.resolve(LOG),
    say: () => undefined,
  })
  return said.calls
}

function proofOf(calls: readonly TpmCall[]): Proof {
  const call = calls.at(-1)
  if (call?.say !== 'quote') throw new Error(`the agent said ${JSON.stringify(call)}`)
  const { ek, ak, activated, quote, signature, log } = call
  return {
    ek: bytes(ek),
    ak: bytes(ak),
    activated: bytes(activated),
    quote: bytes(quote),
    signature: bytes(signature),
    log: bytes(log),
  }
}

/** As the firmware and the loaders of the golden boot extended it. */
async function booted(): Promise<Swtpm> {
  const device = await tpm()
  for (const { pcr, type, digest } of parseEventLog(LOG, LIMITS))
    if (type !== EVENT.noAction) await device.extend(pcr, digest)
  return device
}

test('a TPM with the PCRs of a boot proves it; with one more event its log does not lead there', async () => {
  const device = await booted()
  const proof = proofOf(await prove(device, conductor()))
  expect(checkServed(checkProof(proof, WANTED), SERVED)).toEqual({ reach: 'whole', by: 'grub' })

  await device.extend(9, sha256('a file that the log does not show'))
  const later = proofOf(await prove(device, conductor()))
  expect(() => checkProof(later, WANTED)).toThrow(expect.objectContaining({ code: 'tpm.replay' }))
  expect(fingerprintOf(later.ek)).toBe(fingerprintOf(proof.ek))
  const nonce = sha256('the boot after it')
  expect(() => checkProof(later, { ...WANTED, nonce })).toThrow(expect.objectContaining({ code: 'tpm.nonce' }))
})

test('another TPM has another endorsement key, and opens no credential of the first one', async () => {
  const [first, second] = [await tpm(), await tpm()]
  const proof = proofOf(await prove(first, conductor()))
  const own = proofOf(await prove(second, conductor()))
  expect(fingerprintOf(own.ek)).not.toBe(fingerprintOf(proof.ek))
  const relayed = await prove(second, conductor({ ek: proof.ek }))
  expect(relayed.at(-1)).toMatchObject({ say: 'failed', code: 'tpm.failed' })
})

test('a credential for another attestation key is not opened', async () => {
  const device = await tpm()
  const jwk = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'jwk' })
  const own = (await new Tpm(device.transmit).attestationKey()).area
  const point = [jwk.x, jwk.y].map((part) =>
    Buffer.concat([Buffer.from([0, 32]), Buffer.from(part ?? '', 'base64url')]),
  )
  const foreign = Buffer.concat([own.subarray(0, own.length - 68), ...point])
  const calls = await prove(device, conductor({ ak: foreign }))
  expect(calls.at(-1)).toMatchObject({ say: 'failed', code: 'tpm.failed' })
})

test('a TPM whose endorsement hierarchy has a password, or is disabled, is locked', async () => {
  const device = await tpm()
  await device.setEndorsementPassword('secret')
  expect((await prove(device, conductor())).at(-1)).toMatchObject({
    say: 'failed',
    code: 'tpm.locked',
    text: /password/,
  })

  const other = await tpm()
  await other.disableEndorsement()
  expect((await prove(other, conductor())).at(-1)).toMatchObject({
    say: 'failed',
    code: 'tpm.locked',
    text: /disabled/,
  })
})

test('a TPM that is locked out after wrong passwords is told so; one in failure mode is broken', async () => {
  const answering = (code: number) => {
    const response = Buffer.from('80010000000a00000000', 'hex')
    response.writeUInt32BE(code, 6)
    return { transmit: () => Promise.resolve(response), close: () => Promise.resolve() }
  }
  const { ask, calls } = conductor()
  for (const code of [0x921, 0x101])
    await proveBoot({ run, clock, ask, device: () => Promise.resolve(answering(code)), say: () => undefined })
  expect(calls).toMatchObject([
    { say: 'failed', code: 'tpm.locked', text: /locked out/ },
    { say: 'failed', code: 'tpm.failed', text: /failure mode/ },
  ])
})

test('no TPM, one that answers nonsense, and a log that cannot be read are told by name', async () => {
  const { ask, calls } = conductor()
  const say = () => undefined
  await proveBoot({ run, clock, ask, device: () => openTpm('/dev/no-such-tpm'), say })
  const nonsense = { transmit: () => Promise.resolve(Buffer.from('0123456789')), close: () => Promise.resolve() }
  await proveBoot({ run, clock, ask, device: () => Promise.resolve(nonsense), say })
  expect(calls).toMatchObject([
    { say: 'failed', code: 'tpm.absent' },
    { say: 'failed', code: 'tpm.failed' },
  ])
  // What the conductor refuses is no fault of the TPM.
  const gone = proveBoot({
    run,
    clock,
    ask: () => Promise.reject(new Error('gone')),
    device: tpm,
    say,
    log: () => Promise.resolve(LOG),
  })
  await expect(gone).rejects.toSatisfy((error) => !isFault(error, 'tpm.failed'))
})

test('a TPM that does not answer is told by name in time, though its device cannot even be closed', async () => {
  const { ask, calls } = conductor()
  const hand = new HandClock()
  const never = () => new Promise<never>(() => undefined)
  let asked = false
  const transmit = () => {
    asked = true
    return never()
  }
  const device = () => Promise.resolve({ transmit, close: never })
  const proving = proveBoot({ run, clock: hand, ask, device, say: () => undefined })
  await until(() => Promise.resolve(asked || undefined), { what: 'a command', timeoutMs: 20_000 })
  hand.pass(89_000)
  expect(calls).toEqual([])
  hand.pass(2_000)
  await proving
  expect(calls).toMatchObject([{ say: 'failed', code: 'tpm.failed', text: /did not answer within 90 s/ }])
})
