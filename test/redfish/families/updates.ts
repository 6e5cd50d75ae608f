/** UpdateService 1.14: fetches the file (SimpleUpdate) or is sent it (MultipartHttpPushUri, HttpPushUri), takes its
 *  time, installs at the next start or restarts the BMC; and the adapters whose firmware it shows. */
import { formOf } from '../form.ts'
import { collection, CHASSIS, link, MANAGER, resource, ROOT, SYSTEM } from '../tree.ts'
import type { Ask, Dict, Outcome } from '../tree.ts'
import type { VirtualBmc } from '../virtual-bmc.ts'
import type { Task } from './tasks.ts'

const SERVICE = `${ROOT}/UpdateService`
const INVENTORY = `${SERVICE}/FirmwareInventory`
export const SIMPLE_UPDATE = `${SERVICE}/Actions/UpdateService.SimpleUpdate`
export const MULTIPART = `${SERVICE}/update-multipart`
export const PUSH = `${SERVICE}/update`
const ADAPTERS = `${CHASSIS}/NetworkAdapters`
const NIC_SERIAL = 'NIC-0001'

export class Updates {
  versions: Record<'BIOS' | 'NIC', string> = { BIOS: '2.1.0', NIC: '20.5.1' }
  /** What was fetched, in order: the bytes of each file. */
  readonly fetched: string[] = []
  /** What was sent, with the way and the targets that were named for it. */
  readonly pushed: { readonly way: string; readonly file: string; readonly targets: readonly string[] }[] = []
  private pushTargets: readonly string[] = []
  private isPushBusy = false
  /** How long an update takes once its file was fetched. */
  durationMs = 200
  /** An update takes no less than this either. */
  held: Promise<unknown> = Promise.resolve()
  private adapterId = 1
  private waiting: { readonly task: Task; readonly member: string; readonly version: string } | undefined
  private readonly bmc: VirtualBmc

  constructor(bmc: VirtualBmc) {
    this.bmc = bmc
    const { tree } = bmc
    tree.extend(ROOT, () => ({ UpdateService: link(SERVICE) }))
    tree.extend(SYSTEM, () => ({ BiosVersion: this.versions.BIOS }))
    tree.extend(CHASSIS, () => ({ NetworkAdapters: link(ADAPTERS) }))
    tree.add(SERVICE, {
      get: () => this.service(),
    })
    tree.writable(SERVICE, 'HttpPushUriTargets', (value) => {
      if (!Array.isArray(value)) return { status: 400, id: 'PropertyValueTypeError', args: ['HttpPushUriTargets'] }
      this.pushTargets = value.map(String)
    })
    tree.writable(SERVICE, 'HttpPushUriTargetsBusy', (value) => void (this.isPushBusy = value === true))
    tree.add(INVENTORY, {
      get: () =>
        collection(INVENTORY, '#SoftwareInventoryCollection.SoftwareInventoryCollection', [
          `${INVENTORY}/Previous-BIOS`,
          ...['BIOS', 'BMC', 'NIC'].map((id) => `${INVENTORY}/${id}`),
        ]),
    })
    tree.add(`${INVENTORY}/:id`, {
      get: ({ id = '' }) =>
        resource(`${INVENTORY}/${id}`, '#SoftwareInventory.v1_10_2.SoftwareInventory', {
          Updateable: true,
          Version: this.versionOf(id),
          RelatedItem: [link(id === 'BMC' ? MANAGER : id === 'NIC' ? this.adapterPath : SYSTEM)],
        }),
    })
    tree.add(SIMPLE_UPDATE, { post: (ask) => this.update(ask) })
    tree.add(MULTIPART, { post: (ask) => this.takeForm(ask) })
    tree.add(PUSH, { post: (ask) => this.takeFile(ask) })
    tree.add(ADAPTERS, {
      get: () =>
        collection(
          ADAPTERS,
          '#NetworkAdapterCollection.NetworkAdapterCollection',
          // An adapter is seen while the server is on.
          bmc.machine.power === 'Off' ? [] : [this.adapterPath],
        ),
    })
    tree.add(`${ADAPTERS}/:id`, {
      get: ({ id = '' }) =>
        id === String(this.adapterId)
          ? resource(this.adapterPath, '#NetworkAdapter.v1_11_0.NetworkAdapter', {
              Manufacturer: 'Rackward',
              Model: 'RW-NIC',
              SerialNumber: NIC_SERIAL,
              Controllers: [{ FirmwarePackageVersion: this.versions.NIC }],
            })
          : undefined,
    })
    bmc.on('posted', () => this.started())
    bmc.on('bmc-restart', () => {
      if (bmc.profile.adaptersMove) this.adapterId += 1
    })
  }

  private get adapterPath(): string {
    return `${ADAPTERS}/${this.adapterId}`
  }

  private versionOf(id: string): string {
    if (id === 'BMC') return this.bmc.families.managers.firmwareVersion
    return id === 'NIC' ? this.versions.NIC : id === 'BIOS' ? this.versions.BIOS : '2.0.0'
  }

  private service(): Dict {
    const { updateWays: ways = ['fetch', 'multipart', 'push'], maxImageBytes } = this.bmc.profile
    const byTftp = ways.includes('fetch by TFTP')
    const simple = {
      target: SIMPLE_UPDATE,
      'TransferProtocol@Redfish.AllowableValues': byTftp ? ['TFTP'] : ['HTTP', 'HTTPS'],
    }
    return resource(SERVICE, '#UpdateService.v1_14_0.UpdateService', {
      ServiceEnabled: true,
      FirmwareInventory: link(INVENTORY),
      ...(maxImageBytes === undefined ? {} : { MaxImageSizeBytes: maxImageBytes }),
      ...(ways.includes('multipart') ? { MultipartHttpPushUri: MULTIPART } : {}),
      ...(ways.includes('push')
        ? { HttpPushUri: PUSH, HttpPushUriTargets: this.pushTargets, HttpPushUriTargetsBusy: this.isPushBusy }
        : {}),
      Actions: byTftp || ways.includes('fetch') ? { '#UpdateService.SimpleUpdate': simple } : {},
    })
  }

  /** DSP0266, "HTTP multipart push update": the parameters come first. */
  private takeForm({ headers, bytes }: Ask): Outcome {
    const form = formOf(String(headers['content-type']), bytes)
    const [parameters, file] = form
    if (
      parameters?.name !== 'UpdateParameters' ||
      parameters.type !== 'application/json' ||
      file?.name !== 'UpdateFile'
    )
      return { status: 400, id: 'ActionParameterMissing', args: [MULTIPART, 'UpdateParameters'] }
    const { Targets: targets = [] } = JSON.parse(parameters.bytes.toString()) as { Targets?: string[] }
    return this.take({ way: 'multipart', file: file.bytes.toString(), targets })
  }

  private takeFile({ headers, bytes }: Ask): Outcome {
    if (headers['content-type'] !== 'application/octet-stream') return { status: 415, id: 'HeaderInvalid' }
    return this.take({ way: 'push', file: bytes.toString(), targets: this.pushTargets })
  }

  private take(sent: Updates['pushed'][number]): Outcome {
    this.pushed.push(sent)
    const targetUri = sent.way === 'push' ? PUSH : MULTIPART
    const { task, accepted } = this.bmc.families.tasks.begin('Firmware update', { state: 'Running', targetUri })
    void this.install(task, { file: sent.file, member: sent.targets[0]?.split('/').at(-1) ?? 'BIOS' })
    return accepted
  }

  private update({ body }: Ask): Outcome {
    const { ImageURI: uri, Targets: targets } = body
    if (typeof uri !== 'string') return { status: 400, id: 'ActionParameterMissing', args: [SIMPLE_UPDATE, 'ImageURI'] }
    const member = Array.isArray(targets) ? String(targets[0]).split('/').at(-1) : 'BIOS'
    const { task, accepted } = this.bmc.families.tasks.begin('Firmware update', { state: 'Running', payload: body })
    void this.fetch(task, { uri, member: member ?? 'BIOS' })
    return accepted
  }

  private async fetch(task: Task, { uri, member }: { uri: string; member: string }): Promise<void> {
    const file = await fetch(uri)
      .then((answer) => answer.text())
      .catch(() => undefined)
    if (file === undefined) return end(task, 'Exception', 'the file could not be fetched')
    this.fetched.push(file)
    await this.install(task, { file, member })
  }

  private async install(task: Task, { file, member }: { file: string; member: string }): Promise<void> {
    task.percent = 40
    await this.bmc.clock.sleep(this.durationMs)
    await this.held
    const version = file.trim().split(' ').at(-1) ?? ''
    if (this.bmc.profile.updates === 'install nothing')
      return end(task, 'Completed', 'Job completed, server reboot pending.')
    if (member === 'BMC') {
      end(task, 'Completed', 'restarting')
      this.bmc.families.managers.firmwareVersion = version
      return void this.bmc.restart()
    }
    task.state = 'Pending'
    task.message = 'waits for a restart of the server'
    this.waiting = { task, member, version }
  }

  private started(): void {
    if (this.bmc.profile.adaptersMove) this.adapterId += 1
    const { waiting } = this
    if (!waiting) return
    this.waiting = undefined
    this.versions[waiting.member as 'BIOS' | 'NIC'] = waiting.version
    end(waiting.task, 'Completed', 'installed')
  }
}

function end(task: Task, state: Task['state'], message: string): void {
  Object.assign(task, { state, message, percent: 100 })
}
