/** Evacuation without any manager: the hosts keep the definitions of their domains on shared storage
 *  (host-agent/guard/exporter.ts), each with the host that owns it and a generation; moving one is to take its
 *  ownership, and to define and start it on the target. */
import { Fault } from '../../../kit/fault.ts'
import type { Run } from '../../../kit/run.ts'
import type { Driver } from './driver.ts'
import type {
  Instance,
  Listing,
  MigrationRequest,
  MoveRequest,
  Started,
  Inventory,
  RestartRequest,
  Sought,
  StepTaken,
  Whereabouts,
} from '../../evacuate/instances.ts'
import type { DomainRecord, DomainStore } from './domains.ts'

export interface LibvirtOptions {
  /** With `{host}` in it, such as qemu+ssh://root@{host}/system. */
  readonly uri: string
  readonly freeMb: (host: string, signal: AbortSignal) => Promise<number>
}

const TIMEOUT_MS = 20_000
const MIGRATE_MS = 15 * 60_000

export class LibvirtDriver implements Driver {
  readonly name = 'libvirt'
  readonly choosesTarget = true
  /** The claim in the record says whether an attempt began: nothing needs to be waited for. */
  readonly graceMs = 1_000
  private readonly store: DomainStore
  private readonly run: Run
  private readonly options: LibvirtOptions

  constructor(options: LibvirtOptions, parts: { store: DomainStore; run: Run }) {
    this.options = options
    this.store = parts.store
    this.run = parts.run
  }

  async survey(signal: AbortSignal): Promise<Inventory> {
    const instances: Record<string, Instance[]> = {}
    for (const record of await this.store.all())
      if (record.running) (instances[record.host] ??= []).push(instanceOf(record))
    const hosts = await this.store.hosts()
    const targets = await Promise.all(
      hosts.map(async (host) => ({ host, freeMb: await this.options.freeMb(host, signal).catch(() => 0) })),
    )
    return { instances, targets }
  }

  async list(host: string): Promise<Listing> {
    return {
      complete: true,
      instances: (await this.store.all()).filter((record) => record.host === host && record.running).map(instanceOf),
    }
  }

  /** Nobody needs to be told: ownership is in the records. */
  async prepare(): Promise<void> {}

  async locate(host: string, { instances }: Sought, signal: AbortSignal): Promise<Map<string, Whereabouts>> {
    return new Map(await Promise.all(instances.map(async (id) => [id, await this.whereIs(id, host, signal)] as const)))
  }

  private async whereIs(id: string, source: string, signal: AbortSignal): Promise<Whereabouts> {
    const record = await this.store.get(id)
    if (!record) return { at: 'gone' }
    if (record.host === source) {
      const reconciled = await this.reconcile(record, { signal, down: [] })
      // Should its target be proven down as well, the order to start it elsewhere says so.
      if (typeof reconciled === 'string')
        return { at: 'moving', ref: `live ${record.generation}`, to: record.migratingTo ?? null }
      if (reconciled.host === source) return { at: 'source' }
      return { at: 'moved', ref: `live ${reconciled.generation}`, to: reconciled.host }
    }
    const ref = record.token ?? `generation ${record.generation}`
    const state = await this.state(record.host, id, signal)
    if (state === undefined) return { at: 'moving', ref, to: record.host }
    return state === 'running'
      ? { at: 'moved', ref, to: record.host }
      : { at: 'failed', ref, why: `it does not run on ${record.host}: ${state}` }
  }

  async start(order: MoveRequest, signal: AbortSignal): Promise<Started> {
    const { target } = order
    if (target === null) return { got: 'refused', why: 'no target', final: false }
    const record = await this.store.get(order.instance)
    if (!record) return { got: 'refused', why: 'its definition is not on the shared storage', final: true }
    const reconciled = await this.reconcile(record, { signal, down: order.down })
    if (typeof reconciled === 'string') return { got: 'refused', why: reconciled, final: false }
    if (reconciled.host !== record.host)
      return { got: 'refused', why: `it runs on ${reconciled.host}, where it was moved live`, final: false }
    if (record.token !== order.token) {
      const why = record.host === order.source ? undefined : await this.leave(record, order, signal)
      if (why) return { got: 'refused', why, final: false }
      await this.store.put({ ...reconciled, host: target, generation: reconciled.generation + 1, token: order.token })
    }
    await this.virsh(target, ['define', await this.store.definition(record)], { signal })
    const state = await this.state(target, order.instance, signal)
    if (state !== 'running') await this.virsh(target, ['start', order.instance], { signal })
    return { got: 'accepted', ref: order.token }
  }

  /** The record names the target before the migration begins: should the source die in it, the target is asked before
   *  anything is started. */
  async migrate({ instance, source, target }: MigrationRequest, signal: AbortSignal): Promise<Started> {
    if (target === null) return { got: 'refused', why: 'no target', final: false }
    const record = await this.store.get(instance)
    if (!record || record.host !== source)
      return { got: 'refused', why: `it does not belong to ${source}`, final: true }
    if (record.unprotected) return { got: 'refused', why: record.unprotected, final: true }
    // One that an earlier leader began may be on its way still: while the source lives, the record must not name
    // another target.
    const to = record.migratingTo ?? target
    const there = record.migratingTo ? await this.state(to, instance, signal) : 'absent'
    if (there === undefined)
      return { got: 'refused', why: `${to}, where it was being moved live, does not answer`, final: false }
    if (there === 'running') {
      await this.reconcile(record, { signal, down: [] })
      return { got: 'accepted', ref: null }
    }
    await this.store.put({ ...record, migratingTo: to, generation: record.generation + 1 })
    await this.virsh(
      source,
      ['migrate', '--live', '--persistent', '--undefinesource', instance, this.options.uri.replaceAll('{host}', to)],
      {
        signal,
        timeoutMs: MIGRATE_MS,
      },
    )
    const after = await this.store.get(instance)
    if (after) await this.reconcile(after, { signal, down: [] })
    return { got: 'accepted', ref: null }
  }

  async restart({ host, instance, step }: RestartRequest, signal: AbortSignal): Promise<StepTaken> {
    const record = await this.store.get(instance)
    if (!record || record.host !== host) return { got: 'refused', why: `it does not belong to ${host}` }
    if (record.migratingTo) return { got: 'not yet' }
    // What was stopped is started, whatever its record says by now.
    if (record.unprotected && step === 'stop') return { got: 'refused', why: record.unprotected }
    const state = await this.state(host, instance, signal)
    if (state === undefined) return { got: 'not yet' }
    if (step === 'stop') {
      if (state === 'shut off') return { got: 'done' }
      if (state === 'absent') return { got: 'refused', why: `it is not defined on ${host}` }
      await this.virsh(host, ['destroy', instance], { signal })
      return { got: 'not yet' }
    }
    if (state === 'running') return { got: 'done' }
    await this.virsh(host, ['start', instance], { signal })
    return { got: 'not yet' }
  }

  disable(): Promise<StepTaken> {
    return Promise.resolve({ got: 'refused', why: 'libvirt has no service that gives a host new instances' })
  }

  /** What became of a live migration that was begun, asked once it is over or its source is dead. Answers the record as
   *  it is now, or why nobody can say. */
  private async reconcile(
    record: DomainRecord,
    { signal, down }: { signal: AbortSignal; down: readonly string[] },
  ): Promise<DomainRecord | string> {
    const to = record.migratingTo
    if (!to) return record
    const there = down.includes(to) ? 'absent' : await this.state(to, record.uuid, signal)
    if (there === undefined) return `${to}, where it was being moved live, does not answer`
    // Before the hand-over the target has it paused, which is not running.
    if (there === 'paused') return `it is being moved live to ${to}`
    const next = {
      ...record,
      host: there === 'running' ? to : record.host,
      migratingTo: null,
      generation: record.generation + 1,
    }
    await this.store.put(next)
    return next
  }

  /** An earlier attempt went elsewhere: nothing of it may be left where it went, unless that host is proven down.
   *  Answers why not. */
  private async leave(record: DomainRecord, order: MoveRequest, signal: AbortSignal): Promise<string | undefined> {
    if (order.down.includes(record.host)) return undefined
    const state = await this.state(record.host, record.uuid, signal)
    if (state === undefined) return `${record.host}, where it was sent before, does not answer`
    if (state === 'running') return `it runs on ${record.host}`
    if (state !== 'absent') await this.virsh(record.host, ['undefine', record.uuid, '--keep-nvram'], { signal })
    return undefined
  }

  /** What came back must run nothing that was moved; its agent has removed the definitions before it asked to be let
   *  in. */
  async readmit(host: string, step: 'clean' | 'enable', signal: AbortSignal): Promise<boolean> {
    if (step === 'enable') return true
    const moved = (await this.store.all()).filter(
      (record) => record.token?.split('/')[0]?.startsWith(`${host}.`) && record.host !== host,
    )
    const states = await Promise.all(moved.map((record) => this.state(host, record.uuid, signal).catch(() => 'absent')))
    return states.every((state) => state !== 'running')
  }

  /** `absent`: it is not defined there. Undefined: the host does not answer. */
  private async state(host: string, uuid: string, signal: AbortSignal): Promise<string | undefined> {
    const { code, stdout, stderr } = await this.run(this.argv(host, ['domstate', uuid]), {
      timeoutMs: TIMEOUT_MS,
      signal,
      env: LANG,
    })
    if (code === 0) return stdout.trim()
    return /failed to get domain|domain not found/i.test(stderr) ? 'absent' : undefined
  }

  private async virsh(
    host: string,
    args: readonly string[],
    options: { signal: AbortSignal; timeoutMs?: number },
  ): Promise<string> {
    const { code, stdout, stderr } = await this.run(this.argv(host, args), {
      timeoutMs: TIMEOUT_MS,
      env: LANG,
      ...options,
    })
    if (code !== 0) throw new Fault('driver.lost', `virsh ${args[0]} on ${host}: ${stderr.trim().slice(0, 300)}`)
    return stdout
  }

  private argv(host: string, args: readonly string[]): string[] {
    return ['virsh', '-q', '-c', this.options.uri.replaceAll('{host}', host), ...args]
  }
}

const LANG = { LC_ALL: 'C' }

const instanceOf = (record: DomainRecord): Instance => ({
  id: record.uuid,
  name: record.name,
  priority: record.priority,
  memoryMb: record.memoryMb,
  group: record.group,
  unprotected: record.unprotected,
})

/** Free memory by `virsh nodememstats`, in MB. */
export const freeMemory =
  (run: Run, uri: string) =>
  async (host: string, signal: AbortSignal): Promise<number> => {
    const { code, stdout } = await run(['virsh', '-q', '-c', uri.replaceAll('{host}', host), 'nodememstats'], {
      timeoutMs: TIMEOUT_MS,
      signal,
      env: LANG,
    })
    if (code !== 0) throw new Fault('driver.failed', `${host} does not say how much memory is free`)
    const kib = (name: string) => Number(new RegExp(`${name}\\s*:\\s*(\\d+)`).exec(stdout)?.[1] ?? 0)
    return Math.floor((kib('free') + kib('buffers') + kib('cached')) / 1024)
  }
