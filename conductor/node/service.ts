/** What may be done to nodes, whoever asks. Guards are Ironic's; the worker moves the nodes. */
import { isDeepStrictEqual } from 'node:util'
import { Fault } from '../../kit/fault.ts'
import type { Clock } from '../../kit/clock.ts'
import type { Random } from '../../kit/random.ts'
import type { BmcQueue } from '../bmc/queue.ts'
import type { BmcRegistry } from '../bmc/registry.ts'
import { aliasEvents } from './query/history.ts'
import type { Damaged, Store } from '../store/port.ts'
import type { AllowList } from '../outbound/allow-list.ts'
import type { Verb } from './workflow/arrows.ts'
import type { FakeHardware } from '../fake/state.ts'
import { hardwareOf } from '../fake/steps.ts'
import { usesAgent } from './policy/drivers.ts'
import { checkDriver, checkGeneration, checkRemove, checkUpdate, checkVerb, locked } from './policy/guards.ts'
import { checkSources, type SourceRules } from './policy/check-sources.ts'
import { checkFirmwareTarget } from './policy/firmware-target.ts'
import { checkInterfaces, interfaceOf, managementOf, unsupported, type InterfaceName } from './policy/interfaces.ts'
import { planFor, type PlanRequest } from './policy/plans.ts'
import { BmcCommands, type BmcCommandsParts } from './run/bmc-commands.ts'
import { forgetImage, noteImage, writesImage, type LoaderRule } from './run/loader-rule.ts'
import { checkBootVerb, type CheckMedia, type CheckRamdisk } from './run/media-check.ts'
import { MediaCommands } from './run/media-commands.ts'
import { SubscriptionCommands } from './run/subscription-commands.ts'
import type { DriveDownload } from './run/drive-download.ts'
import { driveWanted, splitDrive, withDrive } from './run/drive.ts'
import { isLocked, newNode, type NewNode, type NodeRecord, type PowerTarget } from './record.ts'
import { checkNodeSize } from './policy/size.ts'
import { refusedVerb } from './workflow/events/verb.ts'
import type { Sightings } from './query/sightings.ts'
import type { State } from './workflow/states.ts'
import { cleanPlan, type Erase } from './policy/steps.ts'
import { named, withoutReasons } from './policy/tidy.ts'
import { validateNode, type Verdicts } from './policy/validate.ts'
import type { Worker } from './run/worker.ts'

export interface NodeServiceParts {
  readonly store: Store
  readonly worker: Pick<Worker, 'dispatch' | 'change' | 'forget'>
  readonly bmcs: BmcRegistry
  readonly bmcQueue: BmcQueue
  readonly consoles?: BmcCommandsParts['consoles']
  readonly sightings: Sightings
  readonly clock: Clock
  readonly random: Random
  /** Ports of a node changed: its boot orders follow. */
  readonly onPorts: (nodeUuid: string, gone: readonly string[]) => Promise<void>
  readonly automatedClean: boolean
  readonly erase: Erase
  readonly sources: SourceRules
  readonly mediaUrls: AllowList
  readonly checkMedia: CheckMedia
  readonly checkRamdisk: CheckRamdisk
  readonly loaderRule: LoaderRule
  /** Turns a rescue password into a crypt(3) hash; undefined: there is no rescue ramdisk here. */
  readonly hashPassword: ((password: string) => Promise<string>) | undefined
  readonly limits: { readonly recordBytes: number; readonly configDriveBytes: number }
  readonly driveDownload: DriveDownload
  /** A node lost its instance: its allocation goes. */
  readonly onFreed: (node: NodeRecord) => Promise<void>
}

export interface ProvisionExtra extends PlanRequest {
  readonly configdrive?: unknown
  readonly rescuePassword?: string
  /** Throws when the request's version does not know abort in this state. */
  readonly abortSince?: (state: State) => void
  /** The verb is refused when another one has been taken since this generation. */
  readonly generation?: number
}

/** An agent asks for orders at least every 20 s; one that did not is not counted on. */
const AGENT_ALIVE_MS = 25_000
const UUID = /^[0-9a-f-]{36}$/i
const ALL = { limit: 1000, sortKey: 'id', descending: false } as const

export class NodeService {
  readonly atBmc: BmcCommands
  readonly media: MediaCommands
  readonly subscriptions: SubscriptionCommands
  private readonly parts: NodeServiceParts

  constructor(parts: NodeServiceParts) {
    this.parts = parts
    this.atBmc = new BmcCommands(parts)
    this.media = new MediaCommands(parts)
    this.subscriptions = new SubscriptionCommands(parts)
  }

  /** By UUID or by name. Throws `object.missing`. */
  async find(ident: string): Promise<NodeRecord> {
    const node = UUID.test(ident)
      ? await this.parts.store.node(ident.toLowerCase())
      : await this.parts.store.nodeByName(ident)
    if (!node) throw new Fault('object.missing', `there is no node ${JSON.stringify(ident.slice(0, 255))}`)
    return node
  }

  /** A UUID is not looked up: who changes the node reads its record anyway, and throws when there is none. */
  private uuidOf = async (ident: string): Promise<string> =>
    UUID.test(ident) ? ident.toLowerCase() : (await this.find(ident)).uuid

  async create(given: Omit<NewNode, 'uuid'> & { uuid?: string }): Promise<NodeRecord> {
    checkDriver(given.driver)
    const { node, content } = splitDrive(
      newNode({ ...given, uuid: given.uuid ?? this.parts.random.uuid() }, this.parts.clock.now()),
      this.parts.limits.configDriveBytes,
    )
    checkUpdate(node, node)
    checkInterfaces(node)
    checkNodeSize(node, { limitBytes: this.parts.limits.recordBytes })
    await this.checkRelations(node)
    return withDrive(this.parts, node.uuid, async (keep) => {
      const whole = content === undefined ? node : { ...node, configDrive: await keep(content) }
      await this.parts.store.addNode(whole)
      for (const event of aliasEvents({}, whole, whole.createdAtMs)) await this.parts.store.journal.add(event)
      return whole
    })
  }

  /** `change` gets the record as it is when its turn comes. The guards compare what it makes with that record. */
  async update(ident: string, change: (node: NodeRecord) => NodeRecord): Promise<NodeRecord> {
    const uuid = await this.uuidOf(ident)
    const updated = await withDrive(this.parts, uuid, (keep) =>
      this.parts.worker.change(uuid, async (node) => {
        const wanted = named(node, withoutReasons(node, change(node)))
        checkUpdate(node, wanted)

        const { node: next, content } = splitDrive(wanted, this.parts.limits.configDriveBytes)
        checkNodeSize(next, { before: node, limitBytes: this.parts.limits.recordBytes })
        if (next.parentNode !== node.parentNode || next.chassisUuid !== node.chassisUuid)
          await this.checkRelations(next)

        const whole = next.maintenance ? next : { ...next, maintenanceReason: null, fault: null }
        if (content !== undefined) return { ...whole, configDrive: await keep(content) }
        // A patch that changes nothing leaves updated_at as it is.
        return isDeepStrictEqual(whole, node) ? node : whole
      }),
    )
    await this.parts.onPorts(uuid, [])
    return updated
  }

  async remove(ident: string): Promise<void> {
    const { store } = this.parts
    const node = await this.find(ident)
    checkRemove(node)
    const [child] = await store.nodes({ parentNode: node.uuid }, { ...ALL, limit: 1 })
    if (child)
      throw new Fault(
        'object.conflict',
        `node ${node.uuid} is a parent: delete its children first, or change their parent_node`,
      )
    await this.forget(node)
  }

  /** A node whose record cannot be read, by UUID or by name, when it was read before. */
  damaged = (ident: string): Damaged | undefined =>
    this.parts.store
      .damaged()
      .find(({ kind, uuid, name }) => kind === 'node' && (uuid === ident.toLowerCase() || name === ident))

  /** Nothing is known that could forbid it. */
  async removeDamaged(ident: string): Promise<void> {
    const node = this.damaged(ident)
    if (!node) throw new Fault('object.missing', `there is no damaged node ${JSON.stringify(ident.slice(0, 255))}`)
    await this.forget(node)
  }

  private async forget({ uuid, name }: { uuid: string; name: string | null }): Promise<void> {
    const { store, worker, onPorts, clock } = this.parts
    const addresses = (await store.ports({ nodeUuid: uuid }, ALL)).map((port) => port.address)
    await store.removeNode(uuid)
    await store.journal.add({ atMs: clock.now(), nodeUuid: uuid, kind: 'node-removed', detail: { name } })
    worker.forget(uuid)
    await onPorts(uuid, addresses)
  }

  async setPower(ident: string, target: PowerTarget, timeoutMs?: number): Promise<NodeRecord> {
    const { uuid } = await this.find(ident)
    const within = timeoutMs === undefined ? {} : { timeoutMs }
    return this.parts.worker.dispatch(uuid, { type: 'power', target, ...within })
  }

  async provision(ident: string, verb: Verb, extra: ProvisionExtra = {}): Promise<NodeRecord> {
    const { store, automatedClean, erase, worker, hashPassword, onFreed, limits } = this.parts
    const wanted = driveWanted(extra.configdrive, this.parts)
    const node = await this.find(ident)
    extra.abortSince?.(node.provisionState)
    checkVerb(node, verb)
    const plan = await planFor(verb, { node, request: extra }, { store, automatedClean, erase })
    if ((verb === 'deploy' || verb === 'rebuild' || verb === 'adopt') && usesAgent(node))
      checkSources(node, plan, this.parts.sources)
    if ((verb === 'deploy' || verb === 'rebuild') && writesImage(plan)) await this.parts.loaderRule.check(node)
    if (verb === 'deploy' || verb === 'rebuild') checkFirmwareTarget(node)
    await checkBootVerb(node, verb, this.parts)
    let rescueHash: string | undefined
    if (verb === 'rescue' && usesAgent(node)) {
      if (!hashPassword) throw unsupported(node, 'rescue', 'rescue (boot.rescueInitrd is not configured)')
      rescueHash = await hashPassword(extra.rescuePassword ?? '')
    }
    // Nothing big is stored for a verb that will be refused.
    const refused = wanted === undefined ? undefined : refusedVerb(node, verb)
    if (refused) throw new Fault(refused.refused, refused.why)
    const content = await wanted?.()
    await noteImage(store, node, verb)
    const warm = this.isWarm(node)
    const done = await withDrive(this.parts, node.uuid, async (keep) => {
      // A rebuild without a config drive keeps the one that is there, as Ironic does.
      const drive = content === undefined ? {} : { configDrive: await keep(content) }
      // The patch is made from the record as it is then: an instance_info that was changed meanwhile stays.
      return worker.dispatch(node.uuid, (now) => {
        checkGeneration(now, extra.generation)
        const patch = { ...this.patchFor(verb, now, { rescueHash }), ...drive }
        checkNodeSize(
          { ...now, ...patch, workflow: { ...now.workflow, steps: plan } },
          { before: now, limitBytes: limits.recordBytes },
        )
        return { type: 'verb', verb, warm, plan, patch, project: extra.project ?? null }
      })
    })
    if (verb === 'delete') await onFreed(node)
    await forgetImage(store, node, { verb, plan })
    return done
  }

  /** Boot mode and secure boot, where the management interface can set them. */
  async setFirmware(ident: string, changes: { bootMode?: 'uefi' | 'bios'; secureBoot?: boolean }): Promise<NodeRecord> {
    const node = await this.find(ident)
    if (isLocked(node)) throw locked(node)
    if (managementOf(node).firmwareMode)
      return this.parts.worker.dispatch(node.uuid, { type: 'firmware-mode', ...changes })
    if (interfaceOf(node, 'management') !== 'fake')
      throw unsupported(node, 'management', changes.bootMode ? 'boot_mode' : 'secure_boot')
    return this.parts.worker.change(node.uuid, (now) => ({ ...now, ...changes }))
  }

  /** Changes what fake hardware has, beside any lock: what needs the lock looks for it. */
  async changeFake(uuid: string, change: (fake: FakeHardware) => FakeHardware): Promise<void> {
    await this.parts.worker.change(uuid, (now) => ({ ...now, fake: change(hardwareOf(now, this.parts.clock.now())) }))
  }

  /** The steps that erase the disks of a node when it is cleaned by itself; none where that is switched off. */
  cleanSteps = (node: NodeRecord): readonly string[] =>
    (node.automatedClean ?? this.parts.automatedClean)
      ? cleanPlan(this.parts.erase).map(({ interface: at, step }) => `${at}.${step}`)
      : []

  /** The refusal of an interface that cannot do this. */
  refuse = (node: NodeRecord, name: InterfaceName, what: string): Fault => unsupported(node, name, what)

  children = (node: NodeRecord): Promise<NodeRecord[]> => this.parts.store.nodes({ parentNode: node.uuid }, ALL)

  validate = async (ident: string): Promise<Verdicts> => validateNode(await this.find(ident), this.parts)

  private async checkRelations(node: NodeRecord): Promise<void> {
    const { store } = this.parts
    if (node.chassisUuid && !(await store.objects.find('chassis', node.chassisUuid)))
      throw new Fault('input.invalid', `chassis_uuid: there is no chassis ${node.chassisUuid}`)
    if (node.parentNode && !(await store.node(node.parentNode)))
      throw new Fault('input.invalid', `parent_node: there is no node ${JSON.stringify(node.parentNode)}`)
  }

  private isWarm = ({ agent, uuid }: NodeRecord): boolean =>
    agent !== null && this.parts.clock.now() - this.parts.sightings.look(uuid).agentAtMs < AGENT_ALIVE_MS

  private patchFor(verb: Verb, node: NodeRecord, extra: { rescueHash: string | undefined }): Partial<NodeRecord> {
    const nowMs = this.parts.clock.now()
    const { hashed_rescue_password: _, ...instanceInfo } = node.instanceInfo
    switch (verb) {
      case 'inspect':
        return { inspectionStartedAtMs: nowMs, inspectionFinishedAtMs: null }
      case 'deploy':
      case 'rebuild':
        return { instanceInfo, instanceBoot: null }
      case 'rescue':
        return extra.rescueHash === undefined
          ? {}
          : { instanceInfo: { ...instanceInfo, hashed_rescue_password: extra.rescueHash } }
      case 'unrescue':
        return { instanceInfo }
      case 'delete':
        return {
          instanceInfo: {},
          configDrive: null,
          instanceBoot: null,
          instanceUuid: null,
          instanceName: null,
          allocationUuid: null,
          protected: false,
          protectedReason: null,
          vifs: {},
        }
      default:
        return {}
    }
  }
}
