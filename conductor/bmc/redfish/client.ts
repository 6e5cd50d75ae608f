/** A Redfish service with a login: one session per BMC, opened when it is needed and deleted at the end; Basic where
 *  sessions do not work. Reads, and writes that carry the right ETag. */
import type { IncomingMessage } from 'node:http'
import { Fault, isFault } from '../../../kit/fault.ts'
import { isDict, type Dict } from '../../../kit/json.ts'
import { mayAct } from '../../holding.ts'
import { readBody, type Answer } from './answers.ts'
import { endFormer, keptSession } from './former.ts'
import type { RedfishInfo } from './info.ts'
import { linkOf, pathOf, type ReadBody } from './links.ts'
import { faultOf, isCritical, messagesOf, says, type Refusal } from './messages.ts'
import { fileUpload, formUpload, type FileToSend, type Form, type Upload } from './uploads.ts'
import { Wire, type Exchange } from './wire.ts'

export { isDict, linkOf, type Dict }

export interface Resource {
  readonly path: string
  readonly body: Dict
  readonly etag: string | null
  readonly sizeBytes: number
}

/** What became of an order. */
export interface Ordered {
  readonly refusal?: Refusal
  /** The task or job of the BMC; null: it names none. */
  readonly task: string | null
  /** The BMC has taken it, and will do it (202). */
  readonly isLater: boolean
}

const ROOT = '/redfish/v1/'
const SESSIONS = '/redfish/v1/SessionService/Sessions'

export class RedfishClient {
  wire: Wire
  private readonly info: RedfishInfo
  private formerPin: string | null = null
  private session: { readonly token: string; readonly path: string | null } | undefined
  /** Sessions did not work here, so that each request carries the password. */
  private basic: boolean
  /** A login that is under way: requests that come together share it. */
  private opening: Promise<void> | undefined

  constructor(info: RedfishInfo, onFirstKey?: (pin: string) => void) {
    this.info = info
    this.wire = new Wire(info, onFirstKey)
    this.basic = info.auth === 'basic'
  }

  /** New connections and a new session, as after a restart of the BMC. `any key`: the first one that is seen is taken,
   *  until this is called again. */
  reopen(trust: 'same key' | 'any key' | 'former key'): void {
    const { pin } = this.wire
    if (trust === 'same key') this.formerPin = pin
    this.session = undefined
    this.wire.close()
    const own = this.info.trust
    const kept = trust === 'any key' ? null : this.formerPin
    this.wire = new Wire({ ...this.info, trust: own.kind === 'pin' ? { ...own, pin: kept } : own })
  }

  /** Throws `bmc.path` when there is no such resource, and the fault of the answer otherwise. */
  async get(path: string, signal: AbortSignal): Promise<Resource> {
    const answer = await this.ask({ method: 'GET', path }, signal)
    if (answer.status !== 200 || !isDict(answer.body)) throw faultOf(refusalOf(answer), `GET ${path}`)
    const etag = answer.body['@odata.etag']
    const header = typeof answer.headers.etag === 'string' ? answer.headers.etag : ''
    return {
      path: answer.path,
      body: answer.body,
      sizeBytes: answer.sizeBytes,
      etag: header || (typeof etag === 'string' && etag !== '' ? etag : null),
    }
  }

  /** For lists of members. */
  reader =
    (signal: AbortSignal): ReadBody =>
    (path) =>
      this.get(path, signal)

  /** The root needs no login. Throws `bmc.refused` when it is not a Redfish service. */
  async root(signal: AbortSignal): Promise<Dict> {
    const { status, body } = await this.wire.exchange({ method: 'GET', path: ROOT }, signal)
    if (status === 200 && isDict(body) && (body.Systems !== undefined || body.RedfishVersion !== undefined)) return body
    if (status === 503) throw faultOf({ status, messages: messagesOf(body) }, `GET ${ROOT}`)
    throw new Fault('bmc.refused', `${this.info.origin} is not a Redfish service: GET ${ROOT} answered HTTP ${status}`)
  }

  /** An action. Answers what the service refused, so that the caller can mend the request; undefined: it was
   *  accepted. */
  async post(path: string, body: Dict, signal: AbortSignal): Promise<Refusal | undefined> {
    return refused(await this.act({ method: 'POST', path, body }, signal))
  }

  /** A file in a form (multipart/form-data). */
  pushForm = (path: string, form: Form, signal: AbortSignal): Promise<Ordered> =>
    this.upload(path, formUpload(form), signal)

  /** A file as it is. */
  pushFile = (path: string, file: FileToSend, signal: AbortSignal): Promise<Ordered> =>
    this.upload(path, fileUpload(file), signal)

  private async upload(path: string, upload: Upload, signal: AbortSignal): Promise<Ordered> {
    return orderedOf(await this.act({ method: 'POST', path, upload }, signal))
  }

  /** An action or a change that takes its time: the task of the BMC, where it names one. */
  async order(at: string | Resource, body: Dict, signal: AbortSignal): Promise<Ordered> {
    const answer =
      typeof at === 'string'
        ? await this.act({ method: 'POST', path: at, body }, signal)
        : await this.change(at, body, signal)
    return orderedOf(answer)
  }

  /** A new member of a collection, and its path where the answer names it. */
  async create(
    collection: string,
    body: Dict,
    signal: AbortSignal,
  ): Promise<{ readonly refusal?: Refusal; readonly path: string | null }> {
    const answer = await this.act({ method: 'POST', path: collection, body }, signal)
    const refusal = refused(answer)
    return refusal ? { refusal, path: null } : { path: madeAt(answer) }
  }

  /** A stream of events, which lasts until one of the two ends it. */
  async stream(path: string, signal: AbortSignal): Promise<IncomingMessage> {
    const exchange: Exchange = { method: 'GET', path, headers: { accept: 'text/event-stream' } }
    const response = await this.opened(exchange, signal)
    if (response.statusCode === 200 && /^text\/event-stream\b/i.test(response.headers['content-type'] ?? ''))
      return response
    const { statusCode: status = 0, headers } = response
    const answer = { status, headers, path, ...(await readBody(response, this.info.origin)) }
    if (status === 401) throw this.wrongPassword(answer)
    throw faultOf(refusalOf(answer), `GET ${path} as an event stream`)
  }

  private async opened(exchange: Exchange, signal: AbortSignal): Promise<IncomingMessage> {
    const response = await this.wire.open(await this.withLogin(exchange, signal), signal)
    if (response.statusCode !== 401 || this.basic || !this.session) return response
    response.destroy()
    this.session = undefined
    return this.wire.open(await this.withLogin(exchange, signal), signal)
  }

  async delete(path: string, signal: AbortSignal): Promise<Refusal | undefined> {
    return refused(await this.act({ method: 'DELETE', path }, signal))
  }

  /** A change of a resource, with the ETag forms that BMCs want, in turn: as given, in its strong form, none, any. */
  async patch(resource: Resource, body: Dict, signal: AbortSignal): Promise<Refusal | undefined> {
    return refused(await this.change(resource, body, signal))
  }

  private async change(resource: Resource, body: Dict, signal: AbortSignal): Promise<Answer> {
    let etag = resource.etag
    const send = (match: string | null) =>
      this.ask(
        { method: 'PATCH', path: resource.path, body, ...(match ? { headers: { 'if-match': match } } : {}) },
        signal,
      )
    let answer = await send(etag)
    if (answer.status === 412) {
      // The tag of some moves by itself; others want the strong form of the weak one that they gave.
      etag = (await this.get(resource.path, signal)).etag
      answer = await send(etag === null ? null : etag.replace(/^W\//, ''))
      if (answer.status === 412) answer = await send(null)
    }
    if (answer.status === 428) answer = await send('*')
    return answer
  }

  /** What creates, acts or deletes carries no ETag, since some refuse it then; a few want any at all. */
  private async act(exchange: Exchange, signal: AbortSignal): Promise<Answer> {
    const answer = await this.ask(exchange, signal)
    if (answer.status !== 428 && answer.status !== 412) return answer
    return this.ask({ ...exchange, headers: { ...exchange.headers, 'if-match': '*' } }, signal)
  }

  /** Ends the session, so that it takes no place in the BMC's table. Never throws. */
  async close(signal: AbortSignal): Promise<void> {
    const { session } = this
    this.session = undefined
    if (session?.path)
      await this.wire
        .exchange({ method: 'DELETE', path: session.path, headers: { 'x-auth-token': session.token } }, signal)
        .catch(() => undefined)
    this.wire.close()
  }

  private async ask(exchange: Exchange, signal: AbortSignal): Promise<Answer> {
    const answer = await this.send(exchange, signal)
    if (answer.status !== 401 && !isWithoutSession(answer)) return answer
    // A session that ended (idle, or a restart of the BMC) is opened again, once.
    if (this.basic || !this.session) throw this.wrongPassword(answer)
    this.session = undefined
    const second = await this.send(exchange, signal)
    if (second.status === 401 || isWithoutSession(second)) throw this.wrongPassword(second)
    return second
  }

  private async send(exchange: Exchange, signal: AbortSignal): Promise<Answer> {
    const withLogin = await this.withLogin(exchange, signal)
    const ask = async (method: 'GET' | 'DELETE', path: string) =>
      this.wire.exchange(await this.withLogin({ method, path }, signal), signal)
    await endFormer(this.info, { own: this.session?.path, ask })
    if (exchange.method !== 'GET') await mayAct(keptSession(this.info, this.session?.path))
    return this.wire.exchange(withLogin, signal)
  }

  private async withLogin(exchange: Exchange, signal: AbortSignal): Promise<Exchange> {
    if (!this.basic && !this.session) {
      this.opening ??= this.login(signal).finally(() => (this.opening = undefined))
      await this.opening
    }
    const { username, password } = this.info
    const login: Record<string, string> = this.session
      ? { 'x-auth-token': this.session.token }
      : { authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}` }
    return { ...exchange, headers: { ...exchange.headers, ...login } }
  }

  private async login(signal: AbortSignal): Promise<void> {
    const { username, password, auth } = this.info
    const path = sessionsOf(await this.root(signal))
    const answer = await this.wire.exchange(
      { method: 'POST', path, body: { UserName: username, Password: password } },
      signal,
    )
    const token = answer.headers['x-auth-token']
    if (answer.status < 300 && typeof token === 'string') {
      this.session = { token, path: madeAt(answer) }
      return
    }
    const fault = faultOf(refusalOf(answer), `POST ${path}`)
    if (answer.status === 401 || answer.status === 400) throw this.wrongPassword(answer)
    if (isFault(fault, 'bmc.password-change') || auth === 'session') throw fault
    this.basic = true
  }

  private wrongPassword(answer: Answer): Fault {
    const refusal = refusalOf(answer)
    const who = `BMC ${this.info.origin} refused the user ${this.info.username} or its password`
    return says(refusal, 'PasswordChangeRequired') ? faultOf(refusal, who) : new Fault('bmc.password', who)
  }
}

/** Some say 403 of a session that has ended, as of what its user may not do. */
const isWithoutSession = (answer: Answer): boolean =>
  answer.status === 403 && says(refusalOf(answer), 'NoValidSession', 'SessionTerminated')

const refusalOf = ({ status, body }: Answer): Refusal => ({ status, messages: messagesOf(body) })

const refused = (answer: Answer): Refusal | undefined => {
  const refusal = refusalOf(answer)
  return answer.status >= 200 && answer.status < 300 && !isCritical(refusal.messages) ? undefined : refusal
}

function sessionsOf(root: Dict): string {
  const links = isDict(root.Links) ? root.Links : {}
  return linkOf(links.Sessions) ?? SESSIONS
}

const madeAt = (answer: Answer): string | null => pathOf(answer.headers.location) ?? linkOf(answer.body)

function orderedOf(answer: Answer): Ordered {
  const refusal = refused(answer)
  if (refusal) return { refusal, task: null, isLater: false }
  return { task: taskOf(answer), isLater: answer.status === 202 }
}

/** Vendors name the task in the header, as the body, as a part of it, or as the argument of a message. */
function taskOf(answer: Answer): string | null {
  const { body } = answer
  const isTask = isDict(body) && /^#(Task|Job)\./.test(String(body['@odata.type']))
  const [argument] = messagesOf(body).flatMap(({ args }) => args.filter((arg) => /^\/redfish\/.*(Task|Job)/.test(arg)))
  const part = isDict(body) ? linkOf(body.Accepted) : null
  return pathOf(answer.headers.location) ?? (isTask ? linkOf(body) : null) ?? part ?? argument ?? null
}
