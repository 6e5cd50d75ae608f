/** The guests of this host: how many run, and how to stop them at once. */
import { Fault } from '../../kit/fault.ts'
import type { Log } from '../../kit/log.ts'
import { runOkWith, type Run } from '../../kit/run.ts'
import { readDomain, type DomainStore } from '../adapters/instances/domains.ts'

export interface Guests {
  /** Null: it could not be looked up. */
  count(): Promise<number | null>
  /** At once, without asking them: their storage is gone. */
  stopAll(): Promise<void>
  /** The gate is open: what belongs here may run again. */
  onOpen(): Promise<void>
  /** Every few seconds. */
  refresh(): Promise<void>
}

const TIMEOUT_MS = 15_000

export class CommandGuests implements Guests {
  private readonly argvs: {
    readonly count: readonly string[]
    readonly stop: readonly string[]
    readonly onOpen: readonly string[] | undefined
  }
  private readonly run: Run

  constructor(argvs: CommandGuests['argvs'], run: Run) {
    this.argvs = argvs
    this.run = run
  }

  async count(): Promise<number | null> {
    const { code, stdout } = await this.run(this.argvs.count, { timeoutMs: TIMEOUT_MS })
    return code === 0 && /^\d+$/.test(stdout.trim()) ? Number(stdout.trim()) : null
  }

  async stopAll(): Promise<void> {
    await runOkWith(this.run, this.argvs.stop, { timeoutMs: TIMEOUT_MS })
  }

  async onOpen(): Promise<void> {
    if (this.argvs.onOpen) await runOkWith(this.run, this.argvs.onOpen, { timeoutMs: TIMEOUT_MS * 4 })
  }

  async refresh(): Promise<void> {}
}

/** libvirt's own domains: exported to shared storage while they run here, removed here when they were moved away. */
export class LibvirtGuests implements Guests {
  private readonly options: { readonly uri: string; readonly host: string; readonly shared: readonly string[] }
  private readonly store: DomainStore
  private readonly run: Run
  private readonly log: Log

  constructor(options: LibvirtGuests['options'], parts: { store: DomainStore; run: Run; log: Log }) {
    this.options = options
    this.store = parts.store
    this.run = parts.run
    this.log = parts.log
  }

  async count(): Promise<number | null> {
    return this.uuids(['--state-running', '--state-paused']).then(
      (uuids) => uuids.length,
      () => null,
    )
  }

  async stopAll(): Promise<void> {
    for (const uuid of await this.uuids(['--state-running', '--state-paused'])) await this.virsh(['destroy', uuid])
  }

  /** First the leftovers of what was moved away, then what is still ours. */
  async onOpen(): Promise<void> {
    await this.clean()
    for (const record of await this.store.all()) {
      if (record.host !== this.options.host || !record.running) continue
      // It may have been handed over just before this host died.
      if (record.migratingTo) {
        this.log.error(
          { domain: record.name, to: record.migratingTo },
          'not started: it was being moved live, and may run there; start it with virsh if it does not',
        )
        continue
      }
      await this.virsh(['define', await this.store.definition(record)])
      const state = await this.virsh(['domstate', record.uuid])
      if (state.trim() !== 'running') await this.virsh(['start', record.uuid])
    }
  }

  /** Definitions that another host owns now must not be startable here. */
  async clean(): Promise<void> {
    for (const uuid of await this.uuids(['--all'])) {
      const record = await this.store.get(uuid)
      if (!record || record.host === this.options.host) continue
      const state = await this.virsh(['domstate', uuid])
      if (state.trim() === 'running')
        throw new Fault('driver.failed', `${record.name} runs here and belongs to ${record.host}`)
      await this.virsh(['undefine', uuid, '--keep-nvram'])
      this.log.info(
        { domain: record.name, owner: record.host },
        'a domain that was moved away is no longer defined here',
      )
    }
  }

  async refresh(): Promise<void> {
    await this.store.addHost(this.options.host)
    const running = new Set(await this.uuids(['--state-running']))
    for (const uuid of await this.uuids(['--all'])) {
      const xml = await this.virsh([
        'dumpxml',
        '--security-info',
        ...((await this.isPersistent(uuid)) ? ['--inactive'] : []),
        uuid,
      ])
      const held = await this.store.get(uuid)
      if (held && held.host !== this.options.host) continue
      const record = {
        ...readDomain(xml, this.options.shared),
        host: this.options.host,
        xml,
        running: running.has(uuid),
        token: held?.token ?? null,
        migratingTo: held?.migratingTo ?? null,
        generation: held?.generation ?? 1,
      }
      const same =
        held && held.xml === record.xml && held.running === record.running && held.unprotected === record.unprotected
      if (!same) await this.store.put({ ...record, generation: held ? held.generation + 1 : 1 })
    }
  }

  private async isPersistent(uuid: string): Promise<boolean> {
    return /^Persistent:\s+yes/m.test(await this.virsh(['dominfo', uuid]))
  }

  private async uuids(states: readonly string[]): Promise<string[]> {
    return (await this.virsh(['list', '--uuid', ...states]))
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '')
  }

  private virsh(args: readonly string[]): Promise<string> {
    return runOkWith(this.run, ['virsh', '-q', '-c', this.options.uri, ...args], {
      timeoutMs: TIMEOUT_MS,
      env: { LC_ALL: 'C' },
    })
  }
}

/** A host whose guests somebody else knows, or none. */
export const noGuests: Guests = {
  count: async () => 0,
  stopAll: async () => undefined,
  onOpen: async () => undefined,
  refresh: async () => undefined,
}
