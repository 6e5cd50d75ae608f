/** The proof of a boot, from the agent's first word to the record: a challenge that follows from the keys and the
 *  session, so that any conductor can answer and none has to remember it; the check; what it found. */
import { createHash, createHmac } from 'node:crypto'
import { QUOTED_PCRS, MAX_LOG_BYTES, type TpmAnswer, type TpmCall } from '../api/tpm-wire.ts'
import { Fault, FAULTS, isFault, type FaultCode } from '../../kit/fault.ts'
import type { Clock } from '../../kit/clock.ts'
import type { Log } from '../../kit/log.ts'
import type { Random } from '../../kit/random.ts'
import type { Order } from '../api/agent-wire.ts'
import { gateOf, isSameBoot, proofNow, withFinding, type TpmFinding } from '../node/policy/tpm.ts'
import { orderId, type NodeRecord } from '../node/record.ts'
import type { Worker } from '../node/run/worker.ts'
import { makeCredential } from '../tpm/credential.ts'
import { attestationKey, endorsementKey, fingerprintOf } from '../tpm/keys.ts'
import type { Served } from '../tpm/served.ts'
import { checkProof, checkServed, type Measured } from '../tpm/verify.ts'

export interface AttestationParts {
  readonly worker: Worker
  readonly tokenKey: Buffer
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** What was served to the node; undefined: nothing by this conductor. */
  readonly servedTo: (node: NodeRecord) => Promise<Served | undefined>
  readonly limits: { readonly tpmLogEvents: number; readonly tpmSeconds: number }
}

type Agent = NonNullable<NodeRecord['agent']>
type QuoteCall = TpmCall & { readonly say: 'quote' }

/** Orders with which something secret is given away. */
const SECRET_ORDERS: ReadonlySet<Order['kind']> = new Set(['deploy', 'rescue'])
const MAX_TEXT = 1000

const bytes = (text: string): Buffer => Buffer.from(text, 'base64')
const digest = (text: string): string => createHash('sha256').update(bytes(text)).digest('hex')

export class Attestation {
  private readonly parts: AttestationParts
  /** Sessions whose proof is being checked. */
  private readonly busy = new Set<string>()

  constructor(parts: AttestationParts) {
    this.parts = parts
  }

  /** A boot is judged once: what comes after the first proof changes nothing. */
  async answer(node: NodeRecord, call: TpmCall): Promise<TpmAnswer> {
    const { agent } = node
    if (!agent || proofNow(node)) return call.say === 'keys' && agent ? this.challenge(agent, call) : {}
    switch (call.say) {
      case 'keys':
        return this.challenge(agent, call)
      case 'failed': {
        const isKnown = call.code.startsWith('tpm.') && Object.hasOwn(FAULTS, call.code)
        await this.save(node, agent, failed(isKnown ? (call.code as FaultCode) : 'tpm.failed', call.text))
        return {}
      }
      case 'quote':
        if (this.busy.has(agent.sessionHash)) throw new Fault('node.locked', 'the proof of this boot is being checked')
        this.busy.add(agent.sessionHash)
        try {
          await this.save(node, agent, await this.judge(node, agent, call))
        } finally {
          this.busy.delete(agent.sessionHash)
        }
        return {}
    }
  }

  /** The order, where nothing secret waits for a proof. A proof that failed ends it. */
  async release(node: NodeRecord, order: Order | null): Promise<Order | null> {
    if (!order || !SECRET_ORDERS.has(order.kind)) return order
    const gate = this.gate(node)
    if (gate.gate === 'open') return order
    if (gate.gate === 'hold') return null
    const { code } = gate
    const fault = new Fault(code, gate.text)
    await this.parts.worker
      .dispatch(node.uuid, {
        type: 'agent-failed',
        orderId: orderId(node),
        fault: { code, text: fault.message, retry: fault.retry },
      })
      .catch((error: unknown) => {
        // The order has changed, or is being changed: the agent asks again.
        if (!isFault(error, 'store.stale') && !isFault(error, 'node.locked')) throw error
      })
    return null
  }

  /** Throws for the end of an order that was not given: its id can be guessed. */
  mustHaveBeenGiven(node: NodeRecord, order: Order | null): void {
    if (order && SECRET_ORDERS.has(order.kind)) this.mustBeProven(node)
  }

  /** Throws what keeps a secret from the agent of the node. */
  mustBeProven(node: NodeRecord): void {
    const gate = this.gate(node)
    if (gate.gate === 'shut') throw new Fault(gate.code, gate.text)
    if (gate.gate === 'hold') throw new Fault('tpm.silent', 'the boot of this node is not proven yet')
  }

  private gate = (node: NodeRecord) =>
    gateOf(node, { nowMs: this.parts.clock.now(), waitMs: this.parts.limits.tpmSeconds * 1000 })

  private challenge(agent: Agent, { ek, ak }: TpmCall & { readonly say: 'keys' }): TpmAnswer {
    const made = makeCredential(endorsementKey(bytes(ek)).key, attestationKey(bytes(ak)).name, {
      secret: this.derived('secret', agent, { ek, ak }),
      random: (count) => this.parts.random.bytes(count),
    })
    return {
      challenge: {
        credential: made.credential.toString('base64'),
        secret: made.secret.toString('base64'),
        nonce: this.derived('nonce', agent, { ek, ak }).toString('base64'),
      },
    }
  }

  /** Of this boot and these keys alone: a session is of one boot, whose token is traded once. */
  private derived(what: 'secret' | 'nonce', agent: Agent, keys: { readonly ek: string; readonly ak: string }): Buffer {
    const about = [what, agent.sessionHash, agent.generation, agent.tokenMs, digest(keys.ek), digest(keys.ak)]
    return createHmac('sha256', this.parts.tokenKey)
      .update(`tpm ${about.join(' ')}`)
      .digest()
  }

  private async judge(node: NodeRecord, agent: Agent, call: QuoteCall): Promise<Findings> {
    let measured: Measured | undefined
    try {
      const { ek, ak, activated, quote, signature, log } = call
      measured = checkProof(
        {
          ek: bytes(ek),
          ak: bytes(ak),
          activated: bytes(activated),
          quote: bytes(quote),
          signature: bytes(signature),
          log: bytes(log),
        },
        {
          secret: this.derived('secret', agent, call),
          nonce: this.derived('nonce', agent, call),
          pcrs: QUOTED_PCRS,
          limits: { bytes: MAX_LOG_BYTES, events: this.parts.limits.tpmLogEvents },
        },
      )
      const about = { ek: fingerprintOf(bytes(ek)), secureBoot: measured.secureBoot, firmware: measured.firmware }
      const served = await this.parts.servedTo(node)
      if (!served) return { ...about, ...PARTIAL, text: 'this conductor has no network boot to hold it against' }
      const reach = checkServed(measured, served)
      return reach.reach === 'whole'
        ? { ...about, verdict: 'proved', code: null, text: null, by: reach.by }
        : { ...about, ...PARTIAL, text: reach.why }
    } catch (error) {
      if (!isFault(error)) throw error
      const about = measured ? { secureBoot: measured.secureBoot, firmware: measured.firmware } : {}
      return { ...failed(error.code, error.detail), ...about }
    }
  }

  private async save(node: NodeRecord, agent: Agent, findings: Findings): Promise<void> {
    const { worker, clock, log } = this.parts
    const atMs = clock.now()
    await worker.change(node.uuid, (now) => {
      if (!now.agent || !isSameBoot(now.agent, agent) || proofNow(now)) return now
      const { generation, tokenMs, sessionHash } = agent
      const found: TpmFinding = { ...findings, atMs, generation, tokenMs, sessionHash }
      const tpm = withFinding(now.tpm, found)
      const { proof } = tpm
      const was = now.tpm?.proof
      const isNews = was?.verdict !== proof?.verdict || was?.code !== proof?.code || (proof?.changed.length ?? 0) > 0
      if (proof?.code && isNews) log.warn({ node: now.uuid, fault: proof.code }, proof.text ?? '')
      const detail = {
        verdict: proof?.verdict,
        code: proof?.code,
        text: proof?.text,
        by: proof?.by,
        changed: proof?.changed,
      }
      const events = isNews ? [{ atMs, nodeUuid: now.uuid, kind: 'tpm', detail }] : []
      return { node: { ...now, tpm }, moves: [], events }
    })
  }
}

type Findings = Omit<TpmFinding, 'atMs' | 'generation' | 'tokenMs' | 'sessionHash'>

const PARTIAL = { verdict: 'partial', code: null, by: null } as const

const failed = (code: FaultCode, text: string): Findings => ({
  verdict: 'failed',
  code,
  text: text.slice(0, MAX_TEXT),
  by: null,
  ek: null,
  secureBoot: null,
  firmware: {},
})
