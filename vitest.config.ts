/** Projects, one after the other: `rules` (imports, part of check), `unit` (everything without a rack), `rack` (real
 *  firmware, BMCs, deploys), and with `npm run test:rack` also `rack-long`. */
import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'
import { HeavyFirst } from './test/kit/heavy-first.ts'

/** One file at a time: a rack wants the whole machine. */
const RACK = { testTimeout: 1_500_000, hookTimeout: 900_000, fileParallelism: false, pool: 'forks' } as const

export default defineConfig({
  test: {
    sequence: { sequencer: HeavyFirst },
    projects: [
      { test: { name: 'rules', include: ['test/rules/**/*.test.ts'] } },
      {
        test: {
          name: 'unit',
          sequence: { groupOrder: 1 },
          // Half of their time is waiting for processes and sockets: one worker more than there are cores.
          maxWorkers: availableParallelism() + 1,
          include: ['test/**/*.test.ts'],
          exclude: [
            'test/rules/**',
            'test/rack/**',
            'test/redfish/long/**',
            'test/nova/**',
            'test/packages/**',
            'test/web/**',
            'test/arm64/**',
            'test/cluster/**',
            'test/vagrant/**',
            'test/kubernetes/real/**',
            'test/mesh/mesh.test.ts',
            'test/mesh/fence-agents.test.ts',
            'test/mesh/pacemaker.test.ts',
            'test/mesh/libvirt.test.ts',
          ],
          testTimeout: 60_000,
          hookTimeout: 120_000,
        },
      },
      {
        test: {
          name: 'mesh',
          sequence: { groupOrder: 2 },
          include: [
            'test/mesh/mesh.test.ts',
            ...(process.env.RACKWARD_MESH === 'all'
              ? ['test/mesh/fence-agents.test.ts', 'test/mesh/pacemaker.test.ts']
              : []),
          ],
          fileParallelism: false,
          pool: 'forks',
        },
      },
      // A real browser: npm run test:web, and after the mesh in npm test.
      {
        test: {
          name: 'web',
          sequence: { groupOrder: 3 },
          include: ['test/web/**/*.test.ts'],
          globalSetup: 'test/web/setup.ts',
          // Two at a time, each worker one process for all of its files: what they import is read once in it.
          isolate: false,
          maxWorkers: 2,
          // Alone, it is a second: a busy machine needs more.
          expect: { poll: { timeout: 20_000 } },
          testTimeout: 120_000,
          hookTimeout: 120_000,
          pool: 'forks',
        },
      },
      // Beside those of unit: npm run test:redfish.
      { test: { name: 'redfish-long', include: ['test/redfish/long/*.test.ts'], testTimeout: 120_000 } },
      // With verbs of their own: npm run test:cluster, test:kubernetes, test:nova, test:libvirt.
      // The API's own tests once more, on PostgreSQL.
      {
        test: {
          name: 'cluster',
          include: ['test/cluster/**/*.test.ts', 'test/conductor/api*.test.ts', 'test/conductor/events.test.ts'],
          env: { RACKWARD_TEST_STORE: 'postgres' },
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
      { test: { name: 'nova', include: ['test/nova/**/*.test.ts'], fileParallelism: false, pool: 'forks' } },
      // Real servers of Kubernetes; the driver's tests on the fake are of unit.
      {
        test: {
          name: 'kubernetes',
          include: ['test/kubernetes/real/*.test.ts'],
          testTimeout: 900_000,
          hookTimeout: 600_000,
          fileParallelism: false,
          pool: 'forks',
        },
      },
      { test: { name: 'vagrant', include: ['test/vagrant/**/*.test.ts'], fileParallelism: false, pool: 'forks' } },
      // Two ramdisks and an image are made first, and the server is emulated: half an hour, more on a busy machine.
      {
        test: {
          name: 'arm64',
          include: ['test/arm64/*.test.ts'],
          ...RACK,
          testTimeout: 3 * 3600_000,
          hookTimeout: 3600_000,
        },
      },
      { test: { name: 'packages', include: ['test/packages/**/*.test.ts'], fileParallelism: false, pool: 'forks' } },
      { test: { name: 'libvirt', include: ['test/mesh/libvirt.test.ts'], fileParallelism: false, pool: 'forks' } },
      {
        test: {
          name: 'rack',
          sequence: { groupOrder: 4 },
          include: ['test/rack/*.test.ts'],
          ...RACK,
        },
      },
      // Minutes more: npm run test:rack.
      { test: { name: 'rack-long', sequence: { groupOrder: 5 }, include: ['test/rack/long/*.test.ts'], ...RACK } },
    ],
  },
})
