/** The few TPM 2.0 commands that a proof takes (TCG TPM 2.0 Library, part 3), as bytes. */
import { Fault } from '../../../kit/fault.ts'
import type { Transmit } from './device.ts'

const TAG = { plain: 0x8001, sessions: 0x8002 } as const
const COMMAND = {
  createPrimary: 0x131,
  activateCredential: 0x147,
  policySecret: 0x151,
  quote: 0x158,
  flushContext: 0x165,
  startAuthSession: 0x176,
} as const
/** TPM_RH_NULL, TPM_RS_PW, TPM_RH_ENDORSEMENT. */
const NULL_HANDLE = 0x40000007
const PASSWORD = 0x40000009
const ENDORSEMENT = 0x4000000b
const SHA256 = 0x000b
const ALG_NULL = 0x0010
const HEADER_BYTES = 10
const NONCE_BYTES = 32

const u16 = (value: number): Buffer => Buffer.from([value >> 8, value & 0xff])
const u32 = (value: number): Buffer => {
  const out = Buffer.alloc(4)
  out.writeUInt32BE(value)
  return out
}
/** Bytes behind their size. */
const sized = (bytes: Buffer): Buffer => Buffer.concat([u16(bytes.length), bytes])
const EMPTY = sized(Buffer.alloc(0))
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')

/** TPM2_PolicySecret of the endorsement hierarchy, which guards keys of the standard template. */
const EK_POLICY = hex('837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa')
/** RSA 2048, the template that every TPM knows (TCG EK Credential Profile, template L-1). */
const EK_TEMPLATE = Buffer.concat([hex('0001 000b 000300b2'), sized(EK_POLICY), hex('0006 0080 0043 0010 0800 00000000'), sized(Buffer.alloc(256))]) // prettier-ignore
/** ECDSA on P-256: a key that signs nothing but what the TPM itself says (restricted), and counts no failures. */
const AK_TEMPLATE = Buffer.concat([hex('0023 000b 00050472'), EMPTY, hex('0010 0018 000b 0003 0010'), EMPTY, EMPTY])

/** An authorisation by an empty password, and by a policy that was satisfied before. */
const byPassword = Buffer.concat([u32(PASSWORD), EMPTY, Buffer.from([0]), EMPTY])
const byPolicy = (session: number): Buffer => Buffer.concat([u32(session), EMPTY, Buffer.from([0]), EMPTY])

/** Response codes without what names the parameter, the handle or the session (part 2, 6.6). */
const REFUSALS: Readonly<Record<number, string>> = {
  0x921: 'it is locked out after wrong passwords',
  0x085: 'its endorsement hierarchy is disabled',
  0x08e: 'its endorsement hierarchy has a password',
  0x0a2: 'its endorsement hierarchy has a password',
  0x12f: 'a password is missing',
  0x101: 'it is in failure mode until the server is reset',
}

/** Format one: the number is in six bits, the rest says where. */
const bare = (code: number): number => (code & 0x80 ? code & 0xbf : code)

function faultOf(name: string, code: number): Fault {
  const why = REFUSALS[bare(code)]
  const text = `the TPM answered ${name} with 0x${code.toString(16)}`
  if (why === undefined || bare(code) === 0x101) return new Fault('tpm.failed', why ? `${text}: ${why}` : text)
  return new Fault('tpm.locked', `${text}: ${why}`)
}

interface TpmCommand {
  readonly handles?: readonly number[]
  readonly auths?: readonly Buffer[]
  readonly parameters: readonly Buffer[]
  /** The response begins with a handle. */
  readonly makesHandle?: true
}

/** Reads what a response holds, in order. */
class Response {
  private readonly bytes: Buffer
  private at = 0
  constructor(bytes: Buffer) {
    this.bytes = bytes
  }

  u32(): number {
    this.at += 4
    return this.take(this.at - 4, 4).readUInt32BE(0)
  }

  sized(): Buffer {
    const size = this.take(this.at, 2).readUInt16BE(0)
    this.at += 2 + size
    return this.take(this.at - size, size)
  }

  rest = (): Buffer => this.bytes.subarray(this.at)

  private take(at: number, size: number): Buffer {
    if (at + size > this.bytes.length) throw new Fault('tpm.failed', 'the TPM answered with too few bytes')
    return this.bytes.subarray(at, at + size)
  }
}

interface Made {
  readonly handle: number
  /** TPMT_PUBLIC. */
  readonly area: Buffer
}

export class Tpm {
  private readonly transmit: Transmit
  constructor(transmit: Transmit) {
    this.transmit = transmit
  }

  endorsementKey = (): Promise<Made> => this.createPrimary(EK_TEMPLATE)
  attestationKey = (): Promise<Made> => this.createPrimary(AK_TEMPLATE)

  /** What the credential holds: it opens only where both keys are in one TPM. */
  async activateCredential(
    keys: { readonly ek: number; readonly ak: number },
    given: { readonly credential: Buffer; readonly secret: Buffer; readonly nonce: Buffer },
  ): Promise<Buffer> {
    const session = await this.policySession(given.nonce)
    const { parameters } = await this.call('activateCredential', {
      handles: [keys.ak, keys.ek],
      auths: [byPassword, byPolicy(session)],
      parameters: [sized(given.credential), sized(given.secret)],
    })
    return new Response(parameters).sized()
  }

  /** TPMS_ATTEST and its signature, TPMT_SIGNATURE. */
  async quote(
    ak: number,
    wanted: { readonly nonce: Buffer; readonly pcrs: readonly number[] },
  ): Promise<{ quote: Buffer; signature: Buffer }> {
    const bits = Buffer.alloc(3)
    for (const pcr of wanted.pcrs) bits[pcr >> 3] = (bits[pcr >> 3] ?? 0) | (1 << (pcr & 7))
    const selection = Buffer.concat([u32(1), u16(SHA256), Buffer.from([bits.length]), bits])
    const { parameters } = await this.call('quote', {
      handles: [ak],
      auths: [byPassword],
      parameters: [sized(wanted.nonce), u16(ALG_NULL), selection],
    })
    const response = new Response(parameters)
    return { quote: response.sized(), signature: response.rest() }
  }

  async flush(handle: number): Promise<void> {
    await this.call('flushContext', { parameters: [u32(handle)] })
  }

  private async createPrimary(template: Buffer): Promise<Made> {
    const { handle, parameters } = await this.call('createPrimary', {
      handles: [ENDORSEMENT],
      auths: [byPassword],
      parameters: [sized(Buffer.concat([EMPTY, EMPTY])), sized(template), EMPTY, u32(0)],
      makesHandle: true,
    })
    return { handle, area: new Response(parameters).sized() }
  }

  private async policySession(nonce: Buffer): Promise<number> {
    const { handle } = await this.call('startAuthSession', {
      handles: [NULL_HANDLE, NULL_HANDLE],
      parameters: [sized(nonce.subarray(0, NONCE_BYTES)), EMPTY, Buffer.from([1]), u16(ALG_NULL), u16(SHA256)],
      makesHandle: true,
    })
    await this.call('policySecret', {
      handles: [ENDORSEMENT, handle],
      auths: [byPassword],
      parameters: [EMPTY, EMPTY, EMPTY, u32(0)],
    })
    return handle
  }

  private async call(name: keyof typeof COMMAND, call: TpmCommand): Promise<{ handle: number; parameters: Buffer }> {
    const { handles = [], auths, parameters, makesHandle } = call
    const authorisations = Buffer.concat(auths ?? [])
    const body = Buffer.concat([
      ...handles.map(u32),
      ...(auths ? [u32(authorisations.length), authorisations] : []),
      ...parameters,
    ])
    const head = [u16(auths ? TAG.sessions : TAG.plain), u32(HEADER_BYTES + body.length), u32(COMMAND[name])]
    const answer = await this.transmit(Buffer.concat([...head, body]))

    if (answer.length < HEADER_BYTES || answer.readUInt32BE(2) !== answer.length)
      throw new Fault('tpm.failed', `the TPM answered ${name} with ${answer.length} bytes, not what they say`)
    const code = answer.readUInt32BE(6)
    if (code !== 0) throw faultOf(name, code)
    const response = new Response(answer.subarray(HEADER_BYTES))
    const handle = makesHandle ? response.u32() : 0
    if (!auths) return { handle, parameters: response.rest() }
    const size = response.u32()
    return { handle, parameters: response.rest().subarray(0, size) }
  }
}
