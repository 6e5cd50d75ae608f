/** The nodes of the fabric as the tracker looks at them: each writes the image now, in a rack of 34. */
import { newNode, orderId, type NodeRecord } from '../../../conductor/node/record.ts'

const RACK_NODES = 34

export const uuidOf = (number: number): string =>
  `00000000-0000-4000-8000-${(number + 1).toString(16).padStart(12, '0')}`

export function writer(number: number, imageId: string): NodeRecord {
  const base = newNode({ uuid: uuidOf(number), driver: 'ipmi', provisionState: 'wait call-back' }, 0)
  const steps = [{ interface: 'deploy' as const, step: 'write_image', args: {}, priority: 1, by: 'agent' as const }]
  const chassisUuid = uuidOf(100_000 + Math.floor(number / RACK_NODES))
  return { ...base, chassisUuid, workflow: { ...base.workflow, generation: 7, phase: 'agent', steps, imageId } }
}

export const orderOf = (number: number, imageId: string): string => orderId(writer(number, imageId))
