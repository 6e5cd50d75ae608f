/** The lab's manager of instances, behind the contract of the mesh's command driver. An instance is a small web server
 *  with an address of its own; it runs on one of the servers as a systemd unit, started by that server's "hypervisor"
 *  (host.ts). Who owns an instance stands in one file, changed by this process alone. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { createServer, request } from 'node:http'
import { text } from 'node:stream/consumers'
import { systemClock } from '../../../kit/clock.ts'

interface Instance {
  readonly id: string
  /** Its own address, which it takes with it. */
  readonly ip: string
  host: string
  token: string | null
  running: boolean
}

interface State {
  /** Address of each server's hypervisor. */
  readonly hosts: Record<string, string>
  readonly instances: Instance[]
  /** Servers that were declared down: nothing is placed there. */
  down: string[]
}

type Call = Record<string, any> & { call: string }

const HYPERVISOR_PORT = 7071
const ROOM_MB = 1_000
const SIZE_MB = 100
const ASK_MS = 10_000
/** Pause before an instance is started again, for as long as it belongs to the same server. */
const RETRY_MS = 500
/** What asks the manager may wait until an instance runs. */
const DRIVER_MS = 120_000

class Cloud {
  private readonly file: string
  private readonly state: State

  constructor(file: string) {
    this.file = file
    this.state = JSON.parse(readFileSync(file, 'utf8')) as State
  }

  private save(): void {
    writeFileSync(`${this.file}.new`, JSON.stringify(this.state, null, 1))
    renameSync(`${this.file}.new`, this.file)
  }

  answer(call: Call): unknown {
    const { state } = this
    switch (call.call) {
      case 'survey':
        return {
          instances: Object.fromEntries(Object.keys(state.hosts).map((host) => [host, this.of(host)])),
          targets: Object.keys(state.hosts)
            .filter((host) => !state.down.includes(host))
            .map((host) => ({ host, free_mb: ROOM_MB - SIZE_MB * this.of(host).length })),
        }
      case 'list':
        return { complete: true, instances: this.of(call.host as string) }
      case 'prepare':
        state.down = [...new Set([...state.down, call.host as string])]
        this.save()
        return {}
      case 'locate':
        return {
          where: Object.fromEntries(
            (call.instances as string[]).map((id) => [id, this.locate(id, call.host as string)]),
          ),
        }
      case 'start':
        return this.start(call)
      case 'readmit':
        return this.readmit(call)
      case 'add':
        return this.add(call)
      case 'open':
        return this.open(call.host as string)
      default:
        throw new Error(`unknown call ${JSON.stringify(call.call)}`)
    }
  }

  private of = (host: string) =>
    this.state.instances.filter((one) => one.host === host).map(({ id }) => ({ id, name: id, memory_mb: SIZE_MB }))

  private locate(id: string, source: string) {
    const one = this.state.instances.find((instance) => instance.id === id)
    if (!one) return { at: 'gone' }
    if (one.host === source) return { at: 'source' }
    const ref = one.token ?? ''
    return one.running ? { at: 'moved', ref, to: one.host } : { at: 'moving', ref, to: one.host }
  }

  /** Ownership moves first, and once per token; what is owned is started until it runs. */
  private start({ instance, source, target, token }: Call) {
    const one = this.state.instances.find(({ id }) => id === instance)
    if (!one) return { got: 'refused', why: 'there is no such instance', final: true }
    if (one.token === token) return { got: 'accepted', ref: token }
    if (one.host !== source) return { got: 'refused', why: `it belongs to ${one.host}`, final: false }
    Object.assign(one, { host: target, token, running: false })
    this.save()
    void this.bring(one)
    return { got: 'accepted', ref: token }
  }

  private async bring(one: Instance): Promise<void> {
    const { host } = one
    while (one.host === host && !one.running) {
      try {
        await this.hypervisor(host, { do: 'start', id: one.id, ip: one.ip })
        one.running = true
        this.save()
      } catch {
        await systemClock.sleep(RETRY_MS)
      }
    }
  }

  private async add({ id, ip, host }: Call) {
    const one: Instance = { id: id as string, ip: ip as string, host: host as string, token: null, running: false }
    this.state.instances.push(one)
    await this.bring(one)
    return {}
  }

  /** A server that came back: nothing that belongs elsewhere may run there; then it takes instances again. */
  private async readmit({ host, step }: Call) {
    if (step === 'clean') {
      const running = (await this.hypervisor(host as string, { do: 'list' })) as string[]
      for (const id of running)
        if (this.state.instances.find((one) => one.id === id)?.host !== host)
          await this.hypervisor(host as string, { do: 'stop', id })
    } else {
      this.state.down = this.state.down.filter((name) => name !== host)
      this.save()
    }
    return { done: true }
  }

  /** Its gate opened: what still belongs to it starts there. */
  private async open(host: string) {
    for (const one of this.state.instances.filter((instance) => instance.host === host)) {
      one.running = false
      await this.bring(one)
    }
    return {}
  }

  private hypervisor(host: string, body: Record<string, string>): Promise<unknown> {
    const address = this.state.hosts[host]
    if (address === undefined) throw new Error(`there is no host ${host}`)
    return ask(address, HYPERVISOR_PORT, body)
  }
}

function ask(host: string, port: number, body: unknown, timeoutMs = ASK_MS): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const out = request({ host, port, method: 'POST', timeout: timeoutMs }, (answer) => {
      text(answer).then(
        (said) =>
          answer.statusCode === 200 ? resolve(JSON.parse(said)) : reject(new Error(`${answer.statusCode}: ${said}`)),
        reject,
      )
    })
    out.on('timeout', () => out.destroy(new Error('no answer')))
    out.on('error', reject)
    out.end(JSON.stringify(body))
  })
}

export function serve(file: string, address: string, port: number): void {
  const cloud = new Cloud(file)
  createServer((question, answer) => {
    const reply = (status: number, body: unknown) =>
      answer.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    text(question)
      .then((said) => cloud.answer(JSON.parse(said) as Call))
      .then(
        (body) => reply(200, body),
        (error: Error) => reply(500, { error: error.message }),
      )
  }).listen(port, address)
}

/** One JSON object from standard input is asked of the manager, its answer is printed. */
export async function driver(address: string, port: number): Promise<void> {
  const call = JSON.parse(await text(process.stdin)) as Call
  process.stdout.write(JSON.stringify(await ask(address, port, call, DRIVER_MS)))
}
