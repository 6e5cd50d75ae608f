/** The rule of newer Kubernetes that the tests on real servers play, against a table of it. */
import { expect, test } from 'vitest'
import { sweep } from './out-of-service.ts'

const node = (ready: string | null, taint: string | null) => ({
  metadata: { name: 'n1' },
  spec: taint === null ? {} : { taints: [{ key: taint, value: 'anything', effect: 'NoExecute' }] },
  status: ready === null ? {} : { conditions: [{ type: 'Ready', status: ready }] },
})
const pod = (nodeName: string | undefined, terminating: boolean) => ({
  metadata: { name: 'p', ...(terminating ? { deletionTimestamp: '2026-01-01T00:00:00Z' } : {}) },
  spec: { nodeName },
})
const OUT = 'node.kubernetes.io/out-of-service'

test.each<readonly [string, ReturnType<typeof node>, ReturnType<typeof pod>, number]>([
  ['not ready, tainted, terminating', node('Unknown', OUT), pod('n1', true), 1],
  ['not ready by the kubelet’s own word', node('False', OUT), pod('n1', true), 1],
  ['without any condition', node(null, OUT), pod('n1', true), 1],
  ['ready still: nothing for as long as that', node('True', OUT), pod('n1', true), 0],
  ['another taint', node('Unknown', 'node.kubernetes.io/unreachable'), pod('n1', true), 0],
  ['no taint', node('Unknown', null), pod('n1', true), 0],
  ['nobody asked for its end', node('Unknown', OUT), pod('n1', false), 0],
  ['on another node', node('Unknown', OUT), pod('n2', true), 0],
  ['on none', node('Unknown', OUT), pod(undefined, true), 0],
])('%s', (_, one, other, ended) => {
  expect(sweep([one], [other])).toHaveLength(ended)
})
