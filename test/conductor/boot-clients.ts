/** Clients of the boot services, as tests of them need: by MAC, with nothing ordered; and MACs without end. */
import type { BootClient } from '../../conductor/boot/orders.ts'

export const client = (mac: string, fixedIp: string | null = null): BootClient => ({
  mac,
  nodeUuid: `node of ${mac}`,
  label: mac,
  order: { kind: 'nothing' },
  fixedIp,
  hostName: null,
  card: null,
})

export const noLoaders = { fetched: () => undefined, heard: () => undefined, worked: () => undefined }

/** The MAC with this number: each number has its own. */
export const numberedMac = (n: number) =>
  `02:${[24, 16, 8, 0].map((shift) => ((n >> shift) & 255).toString(16).padStart(2, '0')).join(':')}:aa`
