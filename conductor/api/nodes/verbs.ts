/** /v1/nodes/{id}/states, /maintenance, /management: what a node shall become. */
import { Fault } from '../../../kit/fault.ts'
import type { Interlock, MeshRequest } from '../../mesh/interlock.ts'
import type { NodeRecord } from '../../node/record.ts'
import { isPowerStep, POWER_STEPS, type MayUseChild } from '../../node/policy/child-steps.ts'
import type { ProvisionExtra } from '../../node/service.ts'
import type { Verb } from '../../node/workflow/arrows.ts'
import { mustOwn, standing } from '../access.ts'
import { BootDeviceBody, checkInput, Flag, MaintenanceBody, PowerBody, ProvisionBody, z } from '../node-input.ts'
import { needs, type Ask, type Reply, type Route, type RouteParts } from '../route.ts'
import { NODE_FIELDS, TARGETS, visible } from '../versions.ts'
import { shim, statesView } from '../views.ts'
import { veilFault, veilNode } from '../veil.ts'
import { nodeOf } from './routes.ts'

const BootModeBody = z.strictObject({ target: z.enum(['uefi', 'bios']) })
const SecureBootBody = z.strictObject({ target: Flag })

/** Verbs that a lessee may send: they use the node, and leave what it is. */
const OF_LESSEE: ReadonlySet<Verb> = new Set(['deploy', 'rebuild', 'delete', 'rescue', 'unrescue', 'abort'])

export interface StateParts extends RouteParts {
  readonly interlock: Pick<Interlock, 'allow'> | undefined
}

export function stateRoutes(parts: StateParts): Route[] {
  const { nodes } = parts
  // "X-Rackward-Confirm: <host>": the operator has typed the name of the host whose guests this ends.
  const allow = (ask: Ask, node: NodeRecord, verb: MeshRequest['verb']) =>
    parts.interlock?.allow(node, { verb, requestedBy: ask.actor.user, confirm: ask.request.get('x-rackward-confirm') })
  const accepted = (ask: Ask, node: NodeRecord, path = '/states'): Reply => ({
    status: 202,
    location: `${ask.view.base}/v1/nodes/${node.uuid}${path}`,
  })
  /** A step on a child is a request about the child as well. */
  const mayUseChild =
    (ask: Ask): MayUseChild =>
    async (child, { step }) => {
      if (standing(ask.actor, child) === 'none')
        throw new Fault(
          'access.denied',
          'execute_on_child_nodes: the node has child nodes of other projects; name yours in limit_child_node_execution',
        )
      if (!isPowerStep(step)) mustOwn(ask.actor, child, step)
      await allow(ask, child, isPowerStep(step) ? POWER_STEPS[step] : 'service')
    }
  const owned = async (ask: Ask, what: string) => {
    const node = await nodeOf(parts, ask)
    mustOwn(ask.actor, node, what)
    return node
  }
  return [
    {
      method: 'get',
      path: '/v1/nodes/:ident/states',
      role: 'reader',
      says: 'shows the states of a node',
      async handle(ask) {
        const node = await nodeOf(parts, ask)
        const shown = standing(ask.actor, node) === 'lessee' ? veilNode(node) : node
        return { body: visible(shim(statesView(shown), ask.minor), { gates: NODE_FIELDS, minor: ask.minor }) }
      },
    },
    {
      method: 'put',
      path: '/v1/nodes/:ident/states/power',
      role: 'operator',
      says: 'asks for a power state',
      async handle(ask) {
        const { target, timeout } = checkInput(PowerBody, ask.body)
        if (timeout !== undefined && timeout !== null) needs(ask, 27, 'timeout')
        if (target.startsWith('soft')) needs(ask, 27, `target ${target}`)
        const node = await nodeOf(parts, ask)
        await allow(ask, node, target)
        return accepted(ask, await nodes.setPower(node.uuid, target, timeout ? timeout * 1000 : undefined))
      },
    },
    {
      method: 'put',
      path: '/v1/nodes/:ident/states/provision',
      role: 'operator',
      says: 'sends a verb',
      takes: 'config drive',
      async handle(ask) {
        const { verb, extra } = readProvision(ask)
        const node = await nodeOf(parts, ask)
        if (!OF_LESSEE.has(verb)) mustOwn(ask.actor, node, `target ${verb}`)
        await allow(ask, node, verb)
        return accepted(ask, await nodes.provision(node.uuid, verb, { ...extra, mayUseChild: mayUseChild(ask) }))
      },
    },
    {
      method: 'put',
      path: '/v1/nodes/:ident/states/boot_mode',
      role: 'operator',
      since: 76,
      says: 'asks for UEFI or BIOS',
      async handle(ask) {
        const { target } = checkInput(BootModeBody, ask.body)
        return accepted(ask, await nodes.setFirmware((await owned(ask, 'boot_mode')).uuid, { bootMode: target }))
      },
    },
    {
      method: 'put',
      path: '/v1/nodes/:ident/states/secure_boot',
      role: 'operator',
      since: 76,
      says: 'asks for secure boot',
      async handle(ask) {
        const { target } = checkInput(SecureBootBody, ask.body)
        return accepted(ask, await nodes.setFirmware((await owned(ask, 'secure_boot')).uuid, { secureBoot: target }))
      },
    },
    {
      method: 'get',
      path: '/v1/nodes/:ident/management/boot_device',
      role: 'reader',
      says: 'reads the boot device from the BMC',
      async handle(ask) {
        const node = await nodeOf(parts, ask)
        const { device, persistent } = await nodes.atBmc.bootDevice(node).catch((error: unknown) => {
          throw standing(ask.actor, node) === 'lessee' ? veilFault(error) : error
        })
        return { body: { boot_device: device, persistent } }
      },
    },
    {
      method: 'get',
      path: '/v1/nodes/:ident/management/boot_device/supported',
      role: 'reader',
      says: 'lists the boot devices that can be set',
      async handle(ask) {
        return { body: { supported_boot_devices: nodes.atBmc.bootDevices(await nodeOf(parts, ask)) } }
      },
    },
    {
      method: 'put',
      path: '/v1/nodes/:ident/management/boot_device',
      role: 'operator',
      says: 'sets the boot device',
      async handle(ask) {
        const { boot_device, persistent } = checkInput(BootDeviceBody, ask.body)
        await nodes.atBmc.setBootDevice(await owned(ask, 'boot_device'), { device: boot_device, once: !persistent })
      },
    },
    {
      method: 'put',
      path: '/v1/nodes/:ident/management/inject_nmi',
      role: 'operator',
      since: 29,
      says: 'sends a diagnostic interrupt',
      async handle(ask) {
        checkInput(z.strictObject({}), ask.body ?? {})
        await nodes.atBmc.injectNmi(await owned(ask, 'inject_nmi'))
      },
    },
    {
      method: 'put',
      path: '/v1/nodes/:ident/maintenance',
      role: 'operator',
      says: 'puts a node into maintenance',
      async handle(ask) {
        const { reason } = checkInput(MaintenanceBody, ask.body ?? {})
        const { uuid } = await owned(ask, 'maintenance')
        const node = await nodes.update(uuid, (now) => ({
          ...now,
          maintenance: true,
          maintenanceReason: reason ?? null,
        }))
        return accepted(ask, node, '')
      },
    },
    {
      method: 'delete',
      path: '/v1/nodes/:ident/maintenance',
      role: 'operator',
      says: 'takes a node out of maintenance',
      async handle(ask) {
        const { uuid } = await owned(ask, 'maintenance')
        return accepted(ask, await nodes.update(uuid, (now) => ({ ...now, maintenance: false })), '')
      },
    },
  ]
}

/** The version of each argument of a provision request, and the verbs that take it. */
const ARGUMENTS: Readonly<Partial<Record<keyof ProvisionBody, Partial<Record<Verb, number>>>>> = {
  configdrive: { deploy: 1, rebuild: 35 },
  clean_steps: { clean: 15 },
  rescue_password: { rescue: 38 },
  deploy_steps: { deploy: 69, rebuild: 69 },
  disable_ramdisk: { clean: 70, service: 108 },
  service_steps: { service: 87 },
  runbook: { clean: 92, service: 92 },
}

/** Ironic took abort first in clean wait (1.13), then in other states. */
const ABORT_SINCE: Readonly<Record<string, number>> = { 'inspect wait': 41, 'wait call-back': 110 }

function readProvision(ask: Ask): { verb: Verb; extra: ProvisionExtra } {
  const body = checkInput(ProvisionBody, ask.body)
  const known = Object.hasOwn(TARGETS, body.target) ? TARGETS[body.target] : undefined
  if (!known)
    throw new Fault(
      'input.invalid',
      `target: ${JSON.stringify(body.target)} is not a verb of this conductor; there are ${Object.keys(TARGETS).join(', ')}`,
    )
  needs(ask, known.since, `target ${body.target}`)
  const { verb } = known
  for (const [name, takers] of Object.entries(ARGUMENTS)) {
    if (body[name as keyof ProvisionBody] === undefined || body[name as keyof ProvisionBody] === null) continue
    const since = takers[verb]
    if (since === undefined) throw new Fault('input.invalid', `${name}: the target ${body.target} takes none`)
    needs(ask, since, `${name} with ${body.target}`)
  }
  checkDrive(ask, body)
  const steps = body.clean_steps ?? body.service_steps ?? undefined
  if ((verb === 'clean' || verb === 'service') && !steps === !body.runbook)
    throw new Fault(
      steps ? 'input.invalid' : 'input.missing',
      `${verb}_steps or runbook: the target ${body.target} takes one of them`,
    )
  if (verb === 'rescue' && !body.rescue_password?.trim()) throw new Fault('input.missing', 'rescue_password is missing')
  return {
    verb,
    extra: {
      ...(body.configdrive === undefined || body.configdrive === null ? {} : { configdrive: body.configdrive }),
      ...(steps ? { steps } : {}),
      ...(body.deploy_steps ? { deploySteps: body.deploy_steps } : {}),
      ...(body.runbook ? { runbook: body.runbook } : {}),
      ...(body.rescue_password ? { rescuePassword: body.rescue_password } : {}),
      ...(body.disable_ramdisk ? { disableRamdisk: true } : {}),
      abortSince: (state) =>
        verb === 'abort' ? needs(ask, ABORT_SINCE[state] ?? 13, `abort in "${state}"`) : undefined,
      project: ask.actor.project,
    },
  }
}

function checkDrive(ask: Ask, { configdrive }: ProvisionBody): void {
  if (configdrive === undefined || configdrive === null) return
  if (typeof configdrive === 'object') needs(ask, configdrive.vendor_data ? 59 : 56, 'configdrive as an object')
}
