/** The inventory that an inspection reports. */
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Inventory } from '../../conductor/api/agent-wire.ts'
import type { Run } from '../../kit/run.ts'
import { installedMemoryMb } from './smbios.ts'
import { readBootMode, readDisks, readNics, readText } from './sysfs.ts'

const KIB = 1024
const IPMI_TIMEOUT_MS = 10_000
/** LAN channels that BMCs use for their network card (IPMI 2.0 table 6-1); 8 is Dell's shared port. */
const LAN_CHANNELS = [1, 2, 8]

export async function readInventory(opts: { run: Run; bootMac: string; bootIp: string }): Promise<Inventory> {
  const cpuinfo = (await readFile('/proc/cpuinfo', 'utf8')).split('\n')
  const cpu = (key: string) =>
    cpuinfo
      .find((line) => line.startsWith(key))
      ?.split(':')[1]
      ?.trim() ?? null
  const meminfo = await readFile('/proc/meminfo', 'utf8')
  const dmi = (file: string) => readText(join('/sys/class/dmi/id', file))
  const table = await readFile('/sys/firmware/dmi/tables/DMI').catch(() => undefined)
  const nics = await readNics()
  return {
    cpu: {
      count: cpuinfo.filter((line) => line.startsWith('processor')).length,
      model: cpu('model name'),
      architecture: process.arch === 'x64' ? 'x86_64' : process.arch === 'arm64' ? 'aarch64' : process.arch,
      frequencyMhz: cpu('cpu MHz') === null ? null : Number(cpu('cpu MHz')),
      flags: (cpu('flags') ?? '').split(' ').filter(Boolean),
    },
    memoryBytes: Number(/MemTotal:\s+(\d+)/.exec(meminfo)?.[1] ?? 0) * KIB,
    physicalMemoryMb: table ? installedMemoryMb(table) : null,
    disks: await readDisks(),
    nics: nics.map((nic) => (nic.mac === opts.bootMac ? { ...nic, ipv4: opts.bootIp.split('/')[0] ?? null } : nic)),
    bootMode: await readBootMode(),
    bootMac: opts.bootMac,
    system: {
      vendor: await dmi('sys_vendor'),
      product: await dmi('product_name'),
      serial: await dmi('product_serial'),
      uuid: await dmi('product_uuid'),
      firmwareVersion: await dmi('bios_version'),
    },
    bmcAddress: await readBmcAddress(opts.run),
  }
}

/** Asks the BMC through the system interface; null where there is none or it has no address. */
async function readBmcAddress(run: Run): Promise<string | null> {
  if (!(await stat('/dev/ipmi0').catch(() => undefined))) return null
  for (const channel of LAN_CHANNELS) {
    const result = await run(['ipmitool', 'lan', 'print', String(channel)], { timeoutMs: IPMI_TIMEOUT_MS }).catch(
      () => undefined,
    )
    const address = /^IP Address\s+:\s+(\d+\.\d+\.\d+\.\d+)/m.exec(result?.stdout ?? '')?.[1]
    if (address && address !== '0.0.0.0') return address
  }
  return null
}
