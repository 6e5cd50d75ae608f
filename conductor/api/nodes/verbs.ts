/** /v1/nodes/{id}/states, /maintenance, /management: what a node shall become. */
import { Fault } from '../../../kit/fault.ts'
import type { Interlock, MeshRequest } from '../../mesh/interlock.ts'
import type { NodeRecord } from '../../node/record.ts'
import { isPowerStep, POWER_STEPS, type MayUseChild } from '../../node/policy/child-steps.ts'
import type { ProvisionExtra } from '../../node/service.ts'
import type { Verb } from '../../node/workflow/arrows.ts'
import { mustOwn, standing } from '../access.ts'
import { BootDeviceBody, checkInput, Flag, MaintenanceBody, PowerBody, ProvisionBody, z } from '../node-input.ts'
import { needs, type ApiRequest, type ApiResponse, type Route, type RouteParts } from '../route.ts'
import { NODE_FIELDS, TARGETS, visible } from '../versions.ts'
import { shim, statesView } from '../views.ts'
import { veilFault, veilNode, veilRefusal } from '../veil.ts'
import { nodeOf } from './routes.ts'

const BootModeBody = z.strictObject({ target: z.enum(['uefi', 'bios']) })
const SecureBootBody = z.strictObject({ target: Flag })

/** Verbs that a lessee may send: they use the node, and leave what it is. */
export const OF_LESSEE: ReadonlySet<Verb> = new Set(['deploy', 'rebuild', 'delete', 'rescue', 'unrescue', 'abort'])

export interface StateParts extends RouteParts {
  readonly interlock: Pick<Interlock, 'allow'> | undefined
}

export function stateRoutes(parts: StateParts): Route[] {
  const { nodes } = parts
  // "X-Rackward-Confirm: <host>": the operator has typed the name of the host whose guests this ends.
  const allow = (request: ApiRequest, node: NodeRecord, verb: MeshRequest['verb']) =>
    parts.interlock?.allow(node, {
      verb,
      requestedBy: request.actor.user,
      confirm: request.confirm,
    })
  const accepted = (request: ApiRequest, node: NodeRecord, path = '/states'): ApiResponse => ({
    status: 202,
    location: `${request.view.base}/v1/nodes/${node.uuid}${path}`,
  })
  /** A step on a child is a request about the child as well. */
  const mayUseChild =
    (request: ApiRequest): MayUseChild =>
    async (child, { step }) => {
      if (standing(request.actor, child) === 'none')
        throw new Fault(
          'access.denied',
          'execute_on_child_nodes: the node has child nodes of other projects; name yours in limit_child_node_execution',
        )
      if (!isPowerStep(step)) mustOwn(request.actor, child, step)
      await allow(request, child, isPowerStep(step) ? POWER_STEPS[step] : 'service')
    }
  const owned = async (request: ApiRequest, what: string) => {
    const node = await nodeOf(parts, request)
    mustOwn(request.actor, node, what)
    return node
  }
  return [
    {
      method: 'get',
      path: '/v1/nodes/:ident/states',
      role: 'reader',
      summary: 'shows the states of a node',
      async handle(request) {
        const node = await nodeOf(parts, request)
        const shown = standing(request.actor, node) === 'lessee' ? veilNode(node) : node
        return { body: visible(shim(statesView(shown), request.minor), { gates: NODE_FIELDS, minor: request.minor }) }
      },
    },
    {
      method: 'put',
      path: '/v1/nodes/:ident/states/power',
      role: 'operator',
      summary: 'asks for a power state',
      async handle(request) {
        const { target, timeout } = checkInput(PowerBody, request.body)
        if (timeout !== undefined && timeout !== null) needs(request, 27, 'timeout')
        if (target.startsWith('soft')) needs(request, 27, `target ${target}`)
        const node = await nodeOf(parts, request)
        await allow(request, node, target)
        return accepted(request, await nodes.setPower(node.uuid, target, timeout ? timeout * 1000 : undefined))
      },
    },
    {
      method: 'put',
      path: '/v1/nodes/:ident/states/provision',
      role: 'operator',
      summary: 'sends a verb',
      takes: 'config drive',
      async handle(request) {
        const { verb, extra } = readProvision(request)
        const node = await nodeOf(parts, request)
        if (!OF_LESSEE.has(verb)) mustOwn(request.actor, node, `target ${verb}`)
        await allow(request, node, verb)
        const { generation } = request
        const asked = nodes.provision(node.uuid, verb, {
          ...extra,
          ...(generation === undefined ? {} : { generation }),
          mayUseChild: mayUseChild(request),
        })
        const taken = await asked.catch((error: unknown) => {
          throw standing(request.actor, node) === 'lessee' ? veilRefusal(error, node) : error
        })
        return accepted(request, taken)
      },
    },
    {
      method: 'put',
      path: '/v1/nodes/:ident/states/boot_mode',
      role: 'operator',
      since: 76,
      summary: 'asks for UEFI or BIOS',
      async handle(request) {
        const { target } = checkInput(BootModeBody, request.body)
        return accepted(
          request,
          await nodes.setFirmware((await owned(request, 'boot_mode')).uuid, { bootMode: target }),
        )
      },
    },
    {
      method: 'put',
      path: '/v1/nodes/:ident/states/secure_boot',
      role: 'operator',
      since: 76,
      summary: 'asks for secure boot',
      async handle(request) {
        const { target } = checkInput(SecureBootBody, request.body)
        return accepted(
          request,
          await nodes.setFirmware((await owned(request, 'secure_boot')).uuid, { secureBoot: target }),
        )
      },
    },
    {
      method: 'get',
      path: '/v1/nodes/:ident/management/boot_device',
      role: 'reader',
      summary: 'reads the boot device from the BMC',
      async handle(request) {
        const node = await nodeOf(parts, request)
        const { device, persistent } = await nodes.atBmc.bootDevice(node).catch((error: unknown) => {
          throw standing(request.actor, node) === 'lessee' ? veilFault(error) : error
        })
        return { body: { boot_device: device, persistent } }
      },
    },
    {
      method: 'get',
      path: '/v1/nodes/:ident/management/boot_device/supported',
      role: 'reader',
      summary: 'lists the boot devices that can be set',
      async handle(request) {
        return { body: { supported_boot_devices: nodes.atBmc.bootDevices(await nodeOf(parts, request)) } }
      },
    },
    {
      method: 'put',
      path: '/v1/nodes/:ident/management/boot_device',
      role: 'operator',
      summary: 'sets the boot device',
      async handle(request) {
        const { boot_device, persistent } = checkInput(BootDeviceBody, request.body)
        await nodes.atBmc.setBootDevice(await owned(request, 'boot_device'), { device: boot_device, once: !persistent })
      },
    },
    {
      method: 'put',
      path: '/v1/nodes/:ident/management/inject_nmi',
      role: 'operator',
      since: 29,
      summary: 'sends a diagnostic interrupt',
      async handle(request) {
        checkInput(z.strictObject({}), request.body ?? {})
        await nodes.atBmc.injectNmi(await owned(request, 'inject_nmi'))
      },
    },
    {
      method: 'put',
      path: '/v1/nodes/:ident/maintenance',
      role: 'operator',
      summary: 'puts a node into maintenance',
      async handle(request) {
        const { reason } = checkInput(MaintenanceBody, request.body ?? {})
        const { uuid } = await owned(request, 'maintenance')
        const node = await nodes.update(uuid, (now) => ({
          ...now,
          maintenance: true,
          maintenanceReason: reason ?? null,
        }))
        return accepted(request, node, '')
      },
    },
    {
      method: 'delete',
      path: '/v1/nodes/:ident/maintenance',
      role: 'operator',
      summary: 'takes a node out of maintenance',
      async handle(request) {
        const { uuid } = await owned(request, 'maintenance')
        return accepted(request, await nodes.update(uuid, (now) => ({ ...now, maintenance: false })), '')
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

function readProvision(request: ApiRequest): { verb: Verb; extra: ProvisionExtra } {
  const body = checkInput(ProvisionBody, request.body)
  const known = Object.hasOwn(TARGETS, body.target) ? TARGETS[body.target] : undefined
  if (!known)
    throw new Fault(
      'input.invalid',
      `target: ${JSON.stringify(body.target)} is not a verb of this conductor; there are ${Object.keys(TARGETS).join(', ')}`,
    )
  needs(request, known.since, `target ${body.target}`)
  const { verb } = known
  for (const [name, takers] of Object.entries(ARGUMENTS)) {
    if (body[name as keyof ProvisionBody] === undefined || body[name as keyof ProvisionBody] === null) continue
    const since = takers[verb]
    if (since === undefined) throw new Fault('input.invalid', `${name}: the target ${body.target} takes none`)
    needs(request, since, `${name} with ${body.target}`)
  }
  checkDrive(request, body)
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
        verb === 'abort' ? needs(request, ABORT_SINCE[state] ?? 13, `abort in "${state}"`) : undefined,
      project: request.actor.project,
    },
  }
}

function checkDrive(request: ApiRequest, { configdrive }: ProvisionBody): void {
  if (configdrive === undefined || configdrive === null) return
  if (typeof configdrive === 'object') needs(request, configdrive.vendor_data ? 59 : 56, 'configdrive as an object')
}
