/** The server that tests drive into failures: requests about its node, and what its disk and its conductor show
 *  meanwhile. */
import { readFile } from 'node:fs/promises'
import { until } from '../../kit/clock.ts'
import { provision } from '../lab/journey.ts'
import type { Server } from '../lab/server.ts'
import { sh } from '../lab/shell.ts'
import { headOf, type Bench } from './setup.ts'

export interface Look {
  readonly provision_state: string
  readonly last_error: string
  readonly uuid: string
  readonly driver_internal_info: { readonly rackward: Record<string, any> }
}

/** The message of a promise that is expected to fail. */
export const failing = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'it succeeded',
    (error: Error) => error.message,
  )

export class Subject {
  private readonly bench: Bench
  private readonly server: Server
  /** UUID of its node, once it is enrolled. */
  node = ''

  constructor(bench: Bench, server: Server) {
    this.bench = bench
    this.server = server
  }

  get api() {
    return this.bench.conductor.api
  }

  look = async (ident = this.node): Promise<Look> => (await this.api.ok('GET', `/v1/nodes/${ident}`)) as unknown as Look

  setInfo = (info: Readonly<Record<string, unknown>>) =>
    this.api.ok('PATCH', `/v1/nodes/${this.node}`, [{ op: 'replace', path: '/instance_info', value: info }])

  deploy = (target = 'active') => provision(this.api, this.node, { target }, { to: 'active' })

  /** Bytes that were written by now; undefined: the image is not being written. Reading back counts from zero again. */
  async writtenBytes(): Promise<number | undefined> {
    const progress = (await this.look()).driver_internal_info.rackward.progress as {
      phase: string
      done_bytes: number
    } | null
    return progress?.phase === 'write' ? progress.done_bytes : undefined
  }

  /** Waits until so much of the image is written. On a busy machine the boot before takes minutes. */
  writing = (doneBytes: number) =>
    until(async () => ((await this.writtenBytes()) ?? 0) >= doneBytes, {
      what: 'the image to be half written',
      timeoutMs: 400_000,
      everyMs: 100,
    })

  /** The last two bytes of the boot sector: 0xaa55 on a disk that boots. */
  signature = async () => (await headOf(this.server.diskFile, 512)).readUInt16LE(510)

  /** Process numbers of the boot services in the rack. */
  async bootServices(): Promise<string[]> {
    const pids = (await sh(['ip', 'netns', 'pids', this.bench.rack.namespace])).split('\n').filter(Boolean)
    const commandOf = async (pid: string) =>
      (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0')
    const commands = await Promise.all(pids.map(async (pid) => ({ pid, words: await commandOf(pid) })))
    return commands
      .filter(({ words }) => words.includes('boot') && words.includes(this.bench.conductor.configFile))
      .map(({ pid }) => pid)
  }
}
