/** What keeps the image or the files that instance_info names from being deployed, as far as the record shows. Pure. */
import type { NodeRecord } from '../record.ts'
import { imageSource, ramdiskSource, type SourceRules } from './instance-source.ts'
import { checkPartitionNode, imageType, partitionSource } from './partition-source.ts'
import { rebootWish } from './reboot.ts'
import { deployKindOf, type PlannedStep } from './steps.ts'
import { tpmMode } from './tpm.ts'

export type { SourceRules }

/** Throws what keeps a node from being deployed with these steps. */
export function checkSources(
  node: Pick<NodeRecord, 'instanceInfo' | 'driverInfo' | 'interfaces' | 'bootMode' | 'properties'>,
  steps: readonly Pick<PlannedStep, 'step'>[],
  rules: SourceRules,
): void {
  const { instanceInfo, driverInfo, interfaces } = node
  const how = deployKindOf(interfaces.deploy ?? null)
  rebootWish({ instanceInfo, driverInfo })
  tpmMode({ driverInfo })
  if (how === 'ramdisk') ramdiskSource(instanceInfo, rules)
  else if (how === 'direct' || steps.some(({ step }) => step === 'write_image')) {
    if (imageType(instanceInfo) === 'partition') {
      partitionSource(instanceInfo, rules)
      checkPartitionNode(node, rules)
    } else imageSource(instanceInfo, rules)
  }
}
