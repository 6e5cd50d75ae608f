/** Whether the image that a node names can be the reason why its disk does not start. */
import { expect, test } from 'vitest'
import { newNode, type NodeRecord } from '../../conductor/node/record.ts'
import { startsImage } from '../../conductor/node/run/loader-rule.ts'

const WRITE = { interface: 'deploy', step: 'write_image', args: {}, priority: 80 }
const OTHER = { interface: 'deploy', step: 'custom', args: {}, priority: 80 }

const nodeWith = (deploy: string | undefined, steps?: readonly object[]): NodeRecord => {
  const node = newNode({ uuid: 'n', driver: 'ipmi' }, 0)
  const order = steps && { order: 'deploy' as const, steps: steps as unknown as NodeRecord['workflow']['steps'] }
  return {
    ...node,
    interfaces: { ...node.interfaces, ...(deploy === undefined ? {} : { deploy }) },
    workflow: { ...node.workflow, ...order },
  }
}

test.each([
  ['before a deploy, where the deploy interface writes it', undefined, undefined, true],
  ['by name as well', 'direct', undefined, true],
  ['not of a node that boots a ramdisk', 'ramdisk', undefined, false],
  ['not of a node whose agent does what it is asked for', 'custom-agent', undefined, false],
  ['unless it was asked to write it', 'custom-agent', [OTHER, WRITE], true],
  ['and was not asked for something else', 'custom-agent', [OTHER], false],
] as const)('%s', (_, deploy, steps, isTold) => {
  expect(startsImage(nodeWith(deploy, steps))).toBe(isTold)
})
