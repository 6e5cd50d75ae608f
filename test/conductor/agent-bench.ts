/** For tests of what agents call: a trade of a token, how a call ended, and what an agent reports of a small
 *  machine. */
import { Fault } from '../../kit/fault.ts'
import { testDisk } from '../host-agent/disks.ts'

export const nic = {
  name: 'eth0',
  mac: '02:00:00:00:00:01',
  hasCarrier: true,
  speedMbps: 1000,
  driver: 'x',
  vendor: null,
  product: null,
  pciAddress: null,
  ipv4: null,
  lldp: [
    [1, '041c7ee0aabb00'],
    [2, '0545746831'],
    [3, '0078'],
    [5, '746f7237'],
  ] as [number, string][],
}
export const disk = testDisk('/dev/sda', 100 * 1024 ** 3, { serial: 's' })
export const inventory = {
  cpu: { count: 8, model: 'x', architecture: 'x86_64', frequencyMhz: 2000, flags: [] },
  memoryBytes: 2 ** 34,
  physicalMemoryMb: 16384,
  disks: [disk],
  nics: [nic],
  bootMode: 'uefi' as const,
  bootMac: nic.mac,
  system: { vendor: 'v', product: 'p', serial: 's', uuid: null, firmwareVersion: null },
  bmcAddress: null,
}

export const ask = (text: string, secret = 'a') => ({
  token: text,
  secret: secret.padEnd(43, 'x'),
  macs: [],
  bootMode: 'bios' as const,
})
export const code = (promise: Promise<unknown>) =>
  promise.then(
    () => 'accepted',
    (error: unknown) => (error instanceof Fault ? error.code : String(error)),
  )
