/** Evacuation through a user's own program: one JSON object on its standard input, one on its standard output. Status
 *  0: the answer counts; anything else is a failure whose standard error is shown. The contract is in
 *  docs/operating.md. */
import * as z from 'zod/mini'
import { Fault } from '../../../kit/fault.ts'
import { parsedOr } from '../../../kit/json.ts'
import type { Run } from '../../../kit/run.ts'
import type { Driver } from './driver.ts'
import type {
  Death,
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

const InstanceShape = z.object({
  id: z.string().check(z.minLength(1), z.maxLength(128)),
  name: z.optional(z.string().check(z.maxLength(255))),
  priority: z.optional(z.number()),
  memory_mb: z.optional(z.number().check(z.minimum(0))),
  group: z.optional(z.nullable(z.string())),
  unprotected: z.optional(z.nullable(z.string())),
})
const Instances = z.array(InstanceShape)
const ListShape = z.object({ complete: z.boolean(), instances: Instances })
const SurveyShape = z.object({
  instances: z.record(z.string(), Instances),
  targets: z.optional(z.array(z.object({ host: z.string(), free_mb: z.number() }))),
})
const WhereShape = z.object({
  where: z.record(
    z.string(),
    z.discriminatedUnion('at', [
      z.object({ at: z.literal('source') }),
      z.object({ at: z.literal('moving'), ref: z.string(), to: z.nullable(z.string()) }),
      z.object({ at: z.literal('moved'), ref: z.string(), to: z.string() }),
      z.object({ at: z.literal('failed'), ref: z.string(), why: z.string() }),
      z.object({ at: z.literal('gone') }),
      z.object({ at: z.literal('unknown'), why: z.string() }),
    ]),
  ),
})
const StartShape = z.discriminatedUnion('got', [
  z.object({ got: z.literal('accepted'), ref: z.optional(z.nullable(z.string())) }),
  z.object({ got: z.literal('refused'), why: z.string(), final: z.optional(z.boolean()) }),
])
const StepShape = z.discriminatedUnion('got', [
  z.object({ got: z.literal(['done', 'not yet']) }),
  z.object({ got: z.literal('refused'), why: z.string() }),
])
const DoneShape = z.object({ done: z.boolean() })

const TIMEOUT_MS = 30_000
const MIGRATE_MS = 15 * 60_000

export class CommandDriver implements Driver {
  readonly name = 'command'
  readonly choosesTarget = true
  /** The program is told a token: it must refuse the second of two equal ones. */
  readonly graceMs = 2_000
  private readonly argv: readonly string[]
  private readonly run: Run

  constructor(argv: readonly string[], run: Run) {
    this.argv = argv
    this.run = run
  }

  async survey(signal: AbortSignal): Promise<Inventory> {
    const said = await this.ask(SurveyShape, { call: 'survey' }, signal)
    return {
      instances: Object.fromEntries(Object.entries(said.instances).map(([host, list]) => [host, list.map(instanceOf)])),
      targets: (said.targets ?? []).map(({ host, free_mb: freeMb }) => ({ host, freeMb })),
    }
  }

  async list(host: string, signal: AbortSignal): Promise<Listing> {
    const { complete, instances } = await this.ask(ListShape, { call: 'list', host }, signal)
    return { complete, instances: instances.map(instanceOf) }
  }

  async prepare(host: string, { why }: Death, signal: AbortSignal): Promise<void> {
    await this.ask(z.object({}), { call: 'prepare', host, why }, signal)
  }

  async locate(host: string, { instances }: Sought, signal: AbortSignal): Promise<Map<string, Whereabouts>> {
    const { where } = await this.ask(WhereShape, { call: 'locate', host, instances }, signal)
    return new Map(Object.entries(where))
  }

  async start(order: MoveRequest, signal: AbortSignal): Promise<Started> {
    const said = await this.ask(StartShape, { call: 'start', ...order }, signal)
    return said.got === 'accepted'
      ? { got: 'accepted', ref: said.ref ?? null }
      : { got: 'refused', why: said.why, final: said.final ?? false }
  }

  async migrate(order: MigrationRequest, signal: AbortSignal): Promise<Started> {
    const said = await this.ask(StartShape, { call: 'migrate', ...order }, signal)
    return said.got === 'accepted'
      ? { got: 'accepted', ref: said.ref ?? null }
      : { got: 'refused', why: said.why, final: said.final ?? false }
  }

  restart({ host, instance, step }: RestartRequest, signal: AbortSignal): Promise<StepTaken> {
    return this.ask(StepShape, { call: 'restart', host, instance, step }, signal)
  }

  disable(host: string, why: string, signal: AbortSignal): Promise<StepTaken> {
    return this.ask(StepShape, { call: 'disable', host, why }, signal)
  }

  async readmit(host: string, step: 'clean' | 'enable', signal: AbortSignal): Promise<boolean> {
    return (await this.ask(DoneShape, { call: 'readmit', host, step }, signal)).done
  }

  private async ask<T extends z.ZodMiniType>(
    shape: T,
    call: Readonly<Record<string, unknown>>,
    signal: AbortSignal,
  ): Promise<z.infer<T>> {
    const what = `${this.argv[0]} (${String(call.call)})`
    const { code, stdout, stderr } = await this.run(this.argv, {
      timeoutMs: call.call === 'migrate' ? MIGRATE_MS : TIMEOUT_MS,
      input: JSON.stringify(call),
      signal,
    }).catch((error: unknown) => {
      if (error instanceof Fault && error.code === 'run.missing')
        throw new Fault('driver.failed', error.detail, { cause: error })
      throw new Fault('driver.lost', `${what} was broken off`, { cause: error })
    })
    // It ran: what it did before it failed nobody knows.
    if (code !== 0)
      throw new Fault(
        call.call === 'start' ? 'driver.lost' : 'driver.failed',
        `${what} ended with ${code}: ${stderr.trim().slice(-300)}`,
      )
    const result = shape.safeParse(parsedOr(stdout, undefined))
    if (!result.success)
      throw new Fault(
        'driver.lost',
        `${what} answered what the contract does not know: ${result.error.issues[0]?.path.join('.')} ${result.error.issues[0]?.message}`,
      )
    return result.data
  }
}

const instanceOf = (raw: z.infer<typeof InstanceShape>) => ({
  id: raw.id,
  name: raw.name ?? raw.id,
  priority: raw.priority ?? 0,
  memoryMb: raw.memory_mb ?? 0,
  group: raw.group ?? null,
  unprotected: raw.unprotected ?? null,
})
