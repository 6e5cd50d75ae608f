/** The inventory that an inspection reports. */
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Inventory } from '../../conductor/api/agent-wire.ts'
import type { Clock } from '../../kit/clock.ts'
import type { Run } from '../../kit/run.ts'
import { listenForLldp } from './lldp.ts'
import { readNuma } from './numa.ts'
import { installedMemoryMb } from './smbios.ts'
import { readBootMode, readDisks, readNics, readText } from './sysfs.ts'

const KIB = 1024
const IPMI_TIMEOUT_MS = 10_000
/** LAN channels that BMCs use for their network card (IPMI 2.0 table 6-1); 8 is Dell's shared port. */
const LAN_CHANNELS = [1, 2, 8]

export interface InventoryParts {
  readonly run: Run
  readonly clock: Clock
  readonly bootMac: string
  readonly bootIp: string
  /** How long announcements of switches are waited for. */
  readonly lldpMs: number
}

export async function readInventory(opts: InventoryParts): Promise<Inventory> {
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
  const cards = nics.filter(({ hasCarrier }) => hasCarrier).map(({ name }) => name)
  const announcements = listenForLldp({ ...opts, cards, waitMs: opts.lldpMs })
  const bmc = await readBmc(opts.run)
  const inventory = {
    cpu: {
      count: cpuinfo.filter((line) => line.startsWith('processor')).length,
      sockets: new Set(cpuinfo.filter((line) => line.startsWith('physical id'))).size,
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
      firmwareVendor: await dmi('bios_vendor'),
      firmwareDate: await dmi('bios_date'),
    },
    bmcAddress: bmc.ipv4,
    bmcV6Address: bmc.ipv6,
    bmcMac: bmc.mac,
    numa: await readNuma(nics.map(({ name }) => name)),
  }
  const heard = await announcements
  return {
    ...inventory,
    nics: inventory.nics.map((nic) => {
      const lldp = heard.get(nic.name)
      return lldp ? { ...nic, lldp } : nic
    }),
  }
}

interface BmcLan {
  readonly ipv4: string | null
  readonly ipv6: string | null
  readonly mac: string | null
}

/** Asks the BMC through the system interface; nulls where there is none or it has no address. */
async function readBmc(run: Run): Promise<BmcLan> {
  const none = { ipv4: null, ipv6: null, mac: null }
  if (!(await stat('/dev/ipmi0').catch(() => undefined))) return none
  const ask = async (...argv: string[]) =>
    (await run(['ipmitool', ...argv], { timeoutMs: IPMI_TIMEOUT_MS }).catch(() => undefined))?.stdout ?? ''
  for (const channel of LAN_CHANNELS) {
    const lan = await ask('lan', 'print', String(channel))
    if (parseBmcLan(lan, '').ipv4 !== null) return parseBmcLan(lan, await ask('lan6', 'print', String(channel), 'all'))
  }
  return none
}

/** What `ipmitool lan print` and `lan6 print` say. Addresses that are not set are zeros. */
export function parseBmcLan(lan: string, lan6: string): BmcLan {
  const ipv4 = /^IP Address\s+:\s+(\d+\.\d+\.\d+\.\d+)\s*$/m.exec(lan)?.[1]
  const mac = /^MAC Address\s+:\s+((?:[0-9a-f]{2}:){5}[0-9a-f]{2})\s*$/im.exec(lan)?.[1]?.toLowerCase()
  const ipv6 = [...lan6.matchAll(/^\s+Address:\s+([0-9a-f:]+)(?:\/\d+)?\s*$/gim)].map((match) => match[1] as string)
  return {
    ipv4: ipv4 === undefined || ipv4 === '0.0.0.0' ? null : ipv4,
    ipv6: ipv6.find((address) => address !== '::') ?? null,
    mac: mac === undefined || mac === '00:00:00:00:00:00' ? null : mac,
  }
}
