/** The agent's connection to the conductor: HTTP/2 over TLS, whose certificate is pinned. */
import { createHash } from 'node:crypto'
import { connect, constants, type ClientHttp2Session } from 'node:http2'
import { connect as tlsConnect, type TLSSocket } from 'node:tls'
import {
  OrderAnswer,
  ORDER_POLL_MS,
  SessionGrant,
  type Order,
  type Report,
  type SessionRequest,
} from '../../conductor/api/agent-wire.ts'
import { SwarmAnswer, type SwarmCall } from '../../conductor/api/swarm-wire.ts'
import { TpmAnswer, type TpmCall } from '../../conductor/api/tpm-wire.ts'
import { asFault, Fault, FAULTS, isFault, type FaultCode } from '../../kit/fault.ts'
import type { Clock } from '../../kit/clock.ts'

const CONNECT_MS = 10_000
const CALL_MS = 30_000
const RETRY_MS = 1_000
const PING_MS = 10_000

/** Calls are tried again; what hinders them is told to people. `tries`: how often this call failed. */
export type OnTrouble = (fault: Fault, tries: number) => void

/** The field of a fault about the certificate, and of one about what the conductor answered. */
export const PIN = 'pin'
export const ANSWER = 'answer'

export class ConductorLink {
  private readonly url: URL
  private readonly pin: string
  private readonly clock: Clock
  private readonly localAddress: string | undefined
  private session: ClientHttp2Session | undefined
  private secret = ''
  private closed = false
  private readonly onTrouble: OnTrouble

  /** `localAddress`: where the connection comes from; absent: the kernel chooses. */
  constructor(opts: { url: string; pin: string; clock: Clock; localAddress?: string; onTrouble?: OnTrouble }) {
    this.onTrouble = opts.onTrouble ?? (() => undefined)
    this.url = new URL(opts.url)
    this.pin = opts.pin
    this.clock = opts.clock
    this.localAddress = opts.localAddress
  }

  /** Nothing is sent any more; what is under way breaks off. */
  close(): void {
    this.closed = true
    this.session?.destroy()
  }

  async open(request: SessionRequest): Promise<SessionGrant> {
    const grant = SessionGrant.parse(
      JSON.parse((await this.patiently('POST', '/agent/v1/session', request)).toString()),
    )
    this.secret = grant.session
    return grant
  }

  /** The next order; null when there is none now. Waits at the conductor. */
  async order(have: string): Promise<Order | null> {
    return OrderAnswer.parse(
      JSON.parse((await this.patiently('GET', `/agent/v1/order?have=${encodeURIComponent(have)}`)).toString()),
    ).order
  }

  /** Progress is sent once: the next one says more. Results are sent until they are taken. */
  async report(report: Report): Promise<void> {
    if (report.progress) await this.call('POST', '/agent/v1/report', report)
    else await this.patiently('POST', '/agent/v1/report', report)
  }

  /** Asked once: whoever calls asks again. */
  swarm = async (call: SwarmCall): Promise<SwarmAnswer> =>
    SwarmAnswer.parse(JSON.parse((await this.call('POST', '/agent/v1/swarm', call)).toString()))

  tpm = async (call: TpmCall): Promise<TpmAnswer> =>
    TpmAnswer.parse(JSON.parse((await this.patiently('POST', '/agent/v1/tpm', call)).toString()))

  index = (): Promise<Buffer> => this.patiently('GET', '/agent/v1/image')
  configDrive = (): Promise<Buffer> => this.patiently('GET', '/agent/v1/configdrive')

  /** Tries until the conductor answers: it may be restarting. A refusal is an answer. */
  private async patiently(method: string, path: string, body?: unknown): Promise<Buffer> {
    for (let tries = 1; ; tries += 1) {
      try {
        return await this.call(method, path, body)
      } catch (error) {
        if (isFault(error) && !this.closed) this.onTrouble(error, tries)
        if (!isFault(error, 'agent.network') || this.closed) throw error
        await this.clock.sleep(RETRY_MS)
      }
    }
  }

  private async call(method: string, path: string, body?: unknown): Promise<Buffer> {
    const session = await this.connected()
    const { status, bytes } = await exchange(session, {
      method,
      path,
      secret: this.secret,
      body,
      timeoutMs: path.startsWith('/agent/v1/order') ? ORDER_POLL_MS + CALL_MS : CALL_MS,
    })
    if (status === 200) return bytes
    const said = parse(bytes)
    if (status >= 500)
      throw new Fault('agent.network', `the conductor answered ${status}: ${said.error}`, { field: ANSWER })
    throw new Fault(
      (said.code && Object.hasOwn(FAULTS, said.code) ? said.code : 'agent.session') as FaultCode,
      said.error || `the conductor answered ${status}`,
    )
  }

  private async connected(): Promise<ClientHttp2Session> {
    if (this.session && !this.session.closed && !this.session.destroyed) return this.session
    const socket = await this.dial()
    const session = connect(this.url, { createConnection: () => socket })
    session.on('error', () => undefined)
    session.on('close', () => {
      if (this.session === session) this.session = undefined
    })
    this.session = session
    void this.keepAlive(session)
    return session
  }

  /** A conductor that vanished without a word is noticed here. */
  private async keepAlive(session: ClientHttp2Session): Promise<void> {
    while (!session.closed && !session.destroyed) {
      await this.clock.sleep(PING_MS)
      const cancel = this.clock.after(PING_MS, () => session.destroy())
      try {
        session.ping(() => cancel())
      } catch {
        cancel()
        return
      }
    }
  }

  private dial(): Promise<TLSSocket> {
    return new Promise((resolve, reject) => {
      const fail = (error: Error) => {
        cancel()
        socket.destroy()
        reject(asFault(error, 'agent.network'))
      }
      // The pin is the check: the certificate is self-made, and a node that just booted may not know the date.
      const socket = tlsConnect(
        {
          host: this.url.hostname,
          port: Number(this.url.port || 443),
          ...(this.localAddress ? { localAddress: this.localAddress } : {}),
          rejectUnauthorized: false,
          ALPNProtocols: ['h2'],
          minVersion: 'TLSv1.3',
        },
        () => {
          cancel()
          const found = createHash('sha256').update(socket.getPeerCertificate().raw).digest('hex')
          if (found !== this.pin)
            return fail(
              new Fault('agent.session', 'the conductor’s certificate is not the one that the boot script named', {
                field: PIN,
              }),
            )
          socket.off('error', fail)
          resolve(socket)
        },
      )
      const cancel = this.clock.after(CONNECT_MS, () => fail(new Error('the connection took too long')))
      socket.once('error', fail)
    })
  }
}

function exchange(
  session: ClientHttp2Session,
  request: { method: string; path: string; secret: string; body: unknown; timeoutMs: number },
): Promise<{ status: number; bytes: Buffer }> {
  return new Promise((resolve, reject) => {
    const stream = session.request(
      {
        ':method': request.method,
        ':path': request.path,
        'content-type': 'application/json',
        ...(request.secret ? { authorization: `Bearer ${request.secret}` } : {}),
      },
      { endStream: request.body === undefined },
    )
    const chunks: Buffer[] = []
    let status = 0
    stream.setTimeout(request.timeoutMs, () => stream.close(constants.NGHTTP2_CANCEL))
    stream.on('response', (headers) => {
      status = Number(headers[':status'] ?? 0)
    })
    stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    stream.on('error', (error) =>
      reject(new Fault('agent.network', `the call ${request.path} broke off: ${error.message}`, { cause: error })),
    )
    stream.on('close', () =>
      status === 0 || stream.rstCode !== constants.NGHTTP2_NO_ERROR
        ? reject(new Fault('agent.network', `the call ${request.path} got no answer`))
        : resolve({ status, bytes: Buffer.concat(chunks) }),
    )
    if (request.body !== undefined) stream.end(JSON.stringify(request.body))
  })
}

function parse(bytes: Buffer): { code?: string; error: string } {
  try {
    const { code, error } = JSON.parse(bytes.toString()) as { code?: string; error?: string }
    return { ...(code ? { code } : {}), error: error ?? '' }
  } catch {
    return { error: bytes.toString().slice(0, 200) }
  }
}
