/** A disk as the ramdisk reports it, for tests: a plain one with only what the test is about. */
import type { Disk } from '../../conductor/api/agent-wire.ts'

export const testDisk = (name: string, sizeBytes: number, more: Partial<Disk> = {}): Disk => ({
  name,
  sizeBytes,
  rotational: false,
  model: null,
  vendor: null,
  serial: null,
  wwn: null,
  hctl: null,
  byPath: null,
  transport: null,
  logicalSectorBytes: 512,
  readOnly: false,
  ...more,
})
