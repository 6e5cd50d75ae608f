/** The lab's hand-over: which node counts as one in the middle of its deploy, and what is told of it. */
import { expect, test } from 'vitest'
import { Config } from '../../conductor/config.ts'
import { handOver, handOverText, inTheMiddle, type NodeSeen } from './conductors/hand-over.ts'
import { configOf } from './conductor.ts'
import { Rack } from './rack.ts'

const node = (name: string, share: number, more: Partial<NodeSeen> = {}): NodeSeen => ({
  name,
  provision_state: 'wait call-back',
  conductor: 'conductor-1',
  driver_internal_info: { rackward: { progress: { phase: 'write', done_bytes: share * 1e9, total_bytes: 1e9 } } },
  ...more,
})

test('a node is in the middle of its deploy while its image is written, and its owner is known', () => {
  const others = [
    node('a', 0.01),
    node('b', 0.99),
    node('c', 0.5, { conductor: null }),
    node('d', 0.5, { provision_state: 'clean wait' }),
    node('e', 0.5, { driver_internal_info: { rackward: { progress: null } } }),
    node('f', 0.5, {
      driver_internal_info: { rackward: { progress: { phase: 'prepare', done_bytes: 3, total_bytes: 7 } } },
    }),
  ]
  expect(inTheMiddle(others)).toBeUndefined()
  expect(inTheMiddle([...others, node('g', 0.5)])).toMatchObject({ node: { name: 'g' }, written: 0.5 })
})

test('the owner of that node is killed, each of its nodes is followed to the end, and it is started again', async () => {
  let nodes = [node('a', 0.5), node('b', 0), node('c', 0, { conductor: 'conductor-2' })]
  const acts: string[] = []
  const api = {
    ok: async (_: string, path: string) => {
      if (path === '/v1/conductors') return { conductors: [{ hostname: 'conductor-1', alive: true }] }
      const now = { nodes }
      // Owned by nobody for a while, then by another one, then done.
      if (acts.length > 0)
        nodes = nodes.map((one) => {
          if (one.conductor === 'conductor-1') return { ...one, conductor: null }
          return one.conductor === null ? { ...one, conductor: 'conductor-2' } : { ...one, provision_state: 'active' }
        })
      return now
    },
  }
  const machines = {
    holder: 'conductor-1',
    kill: async (name: string) => void acts.push(`kill ${name}`),
    startAgain: async (name: string) => void acts.push(`start ${name}`),
  }
  const over = await handOver({ api: api as never, machines, say: () => undefined, areOver: () => false })
  expect(acts).toEqual(['kill conductor-1', 'start conductor-1'])
  expect(over).toMatchObject({ killed: 'conductor-1', hadAddress: true, server: 'a', written: 0.5 })
  expect(over.nodes.map(({ name, owner }) => `${name} ${owner}`)).toEqual(['a conductor-2', 'b conductor-2'])
  expect(handOverText(over)).toMatch(/conductor-1 was killed when 50 % of the image of a was written; the address/)
})

test('where every server ended before an image was seen, it does not wait for one', async () => {
  const api = { ok: async () => ({ nodes: [node('a', 1, { provision_state: 'deploy failed' })] }) }
  const machines = { holder: 'conductor-1', kill: () => Promise.reject(new Error('kill')), startAgain: async () => {} }
  const over = handOver({ api: api as never, machines, say: () => undefined, areOver: () => true })
  await expect(over).rejects.toThrow('no conductor was killed')
})

test('the configuration of one of several conductors is one that the conductor takes', () => {
  const url = 'postgresql:///rackward?host=/a,/b&port=5432&user=rackward&target_session_attrs=read-write'
  const config = { hostname: 'conductor-2', store: { postgres: { url, tls: 'off', conductors: 'several' } } }
  const machine = { name: 'conductor-2', namespace: 'rackward-x-c2', dir: '/x/conductor-2', card: 'eth0', config }
  const made = configOf(new Rack('x', '/x', 'tcg'), { imageStore: '/i', kernel: '/k', initrd: '/r', machine })
  expect(Config.parse(made)).toMatchObject({ hostname: 'conductor-2', data: '/x/conductor-2/data' })
})
