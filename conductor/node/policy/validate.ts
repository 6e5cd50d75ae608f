/** What would stop each interface of a node from working. Looks at records only, never at the BMC. */
import type { BmcRegistry } from '../../bmc/registry.ts'
import type { Store } from '../../store/port.ts'
import { usesAgent } from './drivers.ts'
import { checkBoot, type CheckMedia, type CheckRamdisk } from '../run/media-check.ts'
import { bootPlanOf } from '../workflow/boot-plans.ts'
import { checkSources } from './check-sources.ts'
import type { SourceRules } from './instance-source.ts'
import { checkLoader, loaderWords } from './loader-check.ts'
import type { LoaderRule } from '../run/loader-rule.ts'
import { inspectsByBmc, interfaceOf, type InterfaceName } from './interfaces.ts'
import type { NodeRecord } from '../record.ts'
import { templatesWrite } from './plans.ts'
import { checkTargetRaid } from './software-raid.ts'
import { deployKindOf } from './steps.ts'

/** By interface; null: it cannot do anything. */
export type Verdicts = Record<string, { result: boolean | null; reason?: string }>

const ALL = { limit: 1000, sortKey: 'id', descending: false } as const

export async function validateNode(
  node: NodeRecord,
  parts: {
    store: Store
    bmcs: BmcRegistry
    hashPassword: unknown
    sources: SourceRules
    checkMedia: CheckMedia
    checkRamdisk: CheckRamdisk
    loaderRule: Pick<LoaderRule, 'look' | 'rule' | 'checkTrust'>
  },
): Promise<Verdicts> {
  const { store, bmcs, hashPassword, sources, loaderRule } = parts
  // An image that is named there and not written is of no account.
  const kind = usesAgent(node) ? deployKindOf(node.interfaces.deploy ?? null) : undefined
  const written = kind === 'custom-agent' ? await templatesWrite(node, store) : []
  const writes = kind === 'direct' || written.length > 0
  const loader = writes ? await loaderRule.look(node) : undefined
  const untrusted = writes ? await loaderRule.checkTrust(node).catch((error: Error) => error) : undefined
  const ports = await store.ports({ nodeUuid: node.uuid }, ALL)
  const verdict = (check: () => void) => {
    try {
      check()
      return { result: true }
    } catch (error) {
      return { result: false, reason: (error as Error).message }
    }
  }
  /** What is no obstacle is told all the same. */
  const said = (reason: string | undefined, check: () => void) => {
    const found = verdict(check)
    return found.result && reason !== undefined ? { ...found, reason } : found
  }
  const bmc = await bmcs.check(node).then(
    () => ({ result: true }),
    (error: Error) => ({ result: false, reason: error.message }),
  )
  const canBoot = await checkBoot(node, parts).then(
    () => ({ result: true }),
    (error: Error) => ({ result: false, reason: error.message }),
  )
  const bootable = !usesAgent(node) || ports.some((port) => port.pxeEnabled)
  const boot =
    bootPlanOf(node).servesIso || bootable
      ? canBoot
      : { result: false, reason: 'the node has no port with pxe_enabled: no boot request of it would be known' }
  const none = (name: InterfaceName) => ({ result: null, reason: `not supported: ${interfaceOf(node, name)}` })
  const unless = (name: InterfaceName, result: { result: boolean; reason?: string }) =>
    interfaceOf(node, name)?.startsWith('no-') ? none(name) : result
  const rescue =
    usesAgent(node) && !hashPassword ? { result: false, reason: 'boot.rescueInitrd is not configured' } : boot
  return {
    bios: unless('bios', { result: true }),
    boot,
    console: unless('console', { result: true }),
    deploy: {
      ...foreignAgent(node),
      ...(usesAgent(node)
        ? said(loaderWords(loader), () => {
            checkSources(node, written, sources)
            if (untrusted) throw untrusted
            checkLoader(loader, loaderRule.rule)
          })
        : { result: true }),
    },
    firmware: unless('firmware', { result: true }),
    inspect: unless('inspect', inspectsByBmc(node) ? bmc : boot),
    management: bmc,
    network: { result: true },
    power: bmc,
    raid: unless(
      'raid',
      verdict(() => checkTargetRaid(node, node.targetRaidConfig)),
    ),
    rescue: unless('rescue', rescue),
    storage: { result: true },
    vendor: unless('vendor', { result: true }),
  }
}

/** Steps that only the agent of somebody else knows cannot be carried out here; which steps are asked for is not known
 *  yet, so nothing fails. */
function foreignAgent(node: NodeRecord): { reason?: string } {
  const ramdisk = node.driverInfo.deploy_ramdisk
  if (!usesAgent(node) || interfaceOf(node, 'deploy') !== 'custom-agent' || ramdisk === undefined) return {}
  return {
    reason:
      'driver_info/deploy_ramdisk is not used: the node boots the deploy ramdisk of this conductor, and deploy steps that only another agent knows are refused',
  }
}
