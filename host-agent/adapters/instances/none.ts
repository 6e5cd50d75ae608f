/** No manager: hosts are watched and fenced, nothing is moved. */
import type { Driver } from './driver.ts'

export const noDriver: Driver = {
  name: 'none',
  choosesTarget: true,
  graceMs: 0,
  survey: async () => ({ instances: {}, targets: [] }),
  list: async () => ({ complete: true, instances: [] }),
  prepare: async () => undefined,
  locate: async () => new Map(),
  start: async () => ({ got: 'refused', why: 'no driver is configured', final: true }),
  migrate: async () => ({ got: 'refused', why: 'no driver is configured', final: true }),
  restart: async () => ({ got: 'refused', why: 'no driver is configured' }),
  disable: async () => ({ got: 'refused', why: 'no driver is configured' }),
  readmit: async () => true,
}
