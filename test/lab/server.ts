/** One virtual server: a QEMU guest and its BMC (ipmi_sim, and for some Redfish beside it), joined by a script that the
 *  BMC calls. Power off means that the process is gone. */
import { X509Certificate } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Architecture } from '../../kit/architecture.ts'
import { signatureList, withCertificate } from './efi-variables.ts'
import { machineOf } from './machines.ts'
import { bmcPort, cableOf, guestPort } from './serial-port.ts'
import { sh } from './shell.ts'

export type Firmware = 'bios' | 'uefi'
export type Card = 'virtio' | 'e1000e'
/** How the node is enrolled. With `redfish` the BMC speaks both. */
export type BmcKind = 'ipmi' | 'redfish'
export type DiskKind = 'virtio' | 'ahci' | 'nvme'

export interface ServerSpec {
  readonly name: string
  /** x86_64 when nothing is said. */
  readonly architecture?: Architecture
  readonly firmware: Firmware
  /** The card that boots; the other kind is the second card. */
  readonly card: Card
  readonly diskKind: DiskKind
  readonly diskBytes: number
  readonly memoryMb: number
  /** UEFI with the keys that servers leave the factory with, and Secure Boot on from the first start. */
  readonly secureBoot?: boolean
  /** File of a certificate (PEM) that stands in db of its firmware, beside the keys of the factory. */
  readonly siteCertificate?: string
  /** Its UEFI boots by HTTP alone, without TFTP. */
  readonly httpBoot?: boolean
  /** File of a certificate (PEM) whose issuer its UEFI trusts for HTTPS, as an operator enrols it. */
  readonly httpsAuthority?: string
  /** `ipmi` when nothing is said. */
  readonly bmc?: BmcKind
  /** A TPM 2.0 (swtpm), whose state lives as long as the server. */
  readonly tpm?: boolean
  /** More disks, by size. */
  readonly moreDisks?: readonly number[]
}

export interface Server extends ServerSpec {
  readonly dir: string
  readonly mac: string
  readonly secondMac: string
  readonly bmcIp: string
  readonly taps: readonly [string, string]
  readonly diskFile: string
}

export const BMC_USER = 'admin'
export const BMC_PASSWORD = 'rack-secret'

/** Writes everything that a server is made of; starts nothing. */
export async function makeServer(server: Server, accel: 'kvm' | 'tcg'): Promise<void> {
  await mkdir(join(server.dir, 'state'), { recursive: true })
  for (const [i, bytes] of [server.diskBytes, ...(server.moreDisks ?? [])].entries())
    await sh(['truncate', '-s', String(bytes), diskPath(server, i)])
  const { dir, variables } = machineOf(server).firmware
  if (server.firmware === 'uefi') await sh(['cp', join(dir, variables), join(server.dir, 'vars.fd')])
  if (server.siteCertificate) {
    const { raw } = new X509Certificate(await readFile(server.siteCertificate))
    const factory = await readFile(join(dir, machineOf(server).firmware.factoryVariables))
    await writeFile(join(server.dir, 'vars.fd'), withCertificate(factory, raw))
    await writeFile(join(server.dir, 'keys'), 'factory\n')
  }
  if (server.httpsAuthority) {
    const { raw } = new X509Certificate(await readFile(server.httpsAuthority))
    await writeFile(join(server.dir, 'cacerts.esl'), signatureList(raw))
  }
  // The script takes it at the next start: other code of the firmware, other variables.
  if (server.secureBoot) await writeFile(join(server.dir, 'secure-boot'), 'on factory\n')
  await writeFile(join(server.dir, 'boot'), 'none\n')
  await writeFile(join(server.dir, 'server.json'), JSON.stringify(server))
  await writeFile(join(server.dir, 'lan.conf'), lanConf(server))
  await writeFile(join(server.dir, 'emu.cmd'), EMU_COMMANDS)
  await writeFile(join(server.dir, 'chassis.sh'), chassisScript(server, accel), { mode: 0o755 })
}

/** It ends with the guest; the one of the start before may still be about to. */
const TPM_SCRIPT = `tpm() {
  mkdir -p $d/tpm
  for _ in $(seq 100); do
    swtpm socket --tpm2 --daemon --terminate --tpmstate dir=$d/tpm --ctrl type=unixio,path=$d/tpm.sock 2>>$d/qemu.log && return 0
    sleep 0.05
  done
  return 1
}
`

const diskPath = (server: Server, number: number) => (number === 0 ? server.diskFile : `${server.diskFile}.${number}`)

/** The same at its BMC and in its SMBIOS table, as on real servers. */
export const systemUuid = ({ mac }: Pick<Server, 'mac'>): string =>
  `a1234567-89ab-cdef-a123-456789ab${mac.replaceAll(':', '').slice(-4)}`

/** ipmi_sim: lanplus with cipher suite 3, which is all that it knows. */
const lanConf = (server: Server) => `name "${server.name}"
set_working_mc 0x20
  startlan 1
    addr ${server.bmcIp} 623
    priv_limit admin
    allowed_auths_callback md5
    allowed_auths_user md5
    allowed_auths_operator md5
    allowed_auths_admin md5
    guid ${systemUuid(server).replaceAll('-', '')}
  endlan
  chassis_control "${server.dir}/chassis.sh"
  sol "tcp:127.0.0.1:${bmcPort(cableOf(server))}" 115200
  user 1 false "" "" user 1
  user 2 true "${BMC_USER}" "${BMC_PASSWORD}" admin 10
`

const EMU_COMMANDS = `mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02
sel_enable 0x20 1000 0x0a
sensor_add 0x20 0 1 0x01 0x01
sensor_set_value 0x20 0 1 0x60 0
mc_enable 0x20
`

/** ipmi_sim calls it as: get power|boot, set power 0|1, set reset 1, set shutdown 1, set boot
 *  none|pxe|default|cdrom|bios. "default" is its word for the disk. The Redfish BMC calls it as "firmware" before it
 *  writes a variable. */
function chassisScript(server: Server, accel: 'kvm' | 'tcg', pulled: ReadonlySet<number> = new Set()): string {
  const { firmware } = machineOf(server)
  return `#!/bin/bash
d=${server.dir}
# Not just any process with that number: the one whose disk is ours.
pid() { local p; p=$(cat $d/pid 2>/dev/null) && grep -qza "${server.diskFile}" /proc/$p/cmdline 2>/dev/null && echo $p; }
off() {
  local p; p=$(pid) || return 0
  kill -9 $p
  for _ in $(seq 200); do [ -d /proc/$p ] || return 0; sleep 0.02; done
  return 1
}
# What the firmware starts with: its code, and the variables with the keys that are ordered.
firmware() {
  secure=off; keys=none; [ -f $d/secure-boot ] && read secure keys <$d/secure-boot
  if [ $secure = on ]; then code=${firmware.secureCode}; smm=on; else code=${firmware.code}; smm=off; fi
  if [ -f $d/vars.fd ] && [ "$keys" != "$(cat $d/keys 2>/dev/null || echo none)" ]; then
    if [ "$keys" = factory ]; then vars=${firmware.factoryVariables}; else vars=${firmware.variables}; fi
    cp ${firmware.dir}/$vars $d/vars.fd && echo $keys >$d/keys
  fi
}
on() {
  pid >/dev/null && return 0
  # BOOT and PAUSED are of the Redfish BMC, whose override comes before the order that IPMI sets.
  case "\${BOOT:-$(cat $d/boot)}" in
    default) disk=1; nic=2; cd=3;;
    cdrom) cd=1; nic=2; disk=3;;
    *) nic=1; disk=2; cd=3;;
  esac
  firmware
  # A BMC that answers late is asked once more: requests in bmc.log may be more than these.
  echo "$(date +%s.%N) on" >>$d/starts.log
${server.tpm ? '  tpm || return 1\n' : ''}  ${qemuCommand(server, accel, pulled)} >>$d/qemu.log 2>&1
}
${server.tpm ? TPM_SCRIPT : ''}op=$1; shift
echo "$(date +%s.%N) $op $*" >>$d/bmc.log
case $op in
  get) while [ -n "$1" ]; do case $1 in
      power) if pid >/dev/null; then echo power:1; else echo power:0; fi;;
      boot) echo "boot:$(cat $d/boot)";;
      *) echo "unsupported:$1"; exit 1;;
    esac; shift; done;;
  set) while [ -n "$1" ]; do case $1 in
      power) if [ "$2" = 1 ]; then on; else off; fi || exit 1;;
      reset) [ "$2" = 1 ] && { off && on || exit 1; };;
      shutdown) p=$(pid) && kill $p;;
      boot) echo "$2" >$d/boot;;
      identify) :;;
      *) exit 1;;
    esac; shift 2; done;;
  firmware) pid >/dev/null || firmware;;
  check) exit 0;;
esac
exit 0
`
}

function qemuCommand(server: Server, accel: 'kvm' | 'tcg', pulled: ReadonlySet<number>): string {
  const other: Card = server.card === 'virtio' ? 'e1000e' : 'virtio'
  const cards = [
    [server.card, server.mac, server.taps[0], '$nic'],
    [other, server.secondMac, server.taps[1], ''],
  ] as const
  const machine = machineOf(server)
  const argv = [
    machine.program,
    '-name',
    server.name,
    '-machine',
    machine.machine(accel, '$smm'),
    '-cpu',
    machine.cpu(accel),
    '-smp',
    '2',
    '-m',
    String(server.memoryMb),
    '-nodefaults',
    '-display',
    'none',
    '-daemonize',
    '-pidfile',
    '$d/pid',
    ...(server.bmc === 'redfish' ? ['-qmp', 'unix:$d/qmp.sock,server=on,wait=off', '${PAUSED:+-S}'] : []),
    '-chardev',
    `socket,id=serial,host=127.0.0.1,port=${guestPort(cableOf(server))},logfile=${server.dir}/console.log,logappend=on`,
    '-serial',
    'chardev:serial',
    '-device',
    'virtio-rng-pci',
    '-uuid',
    systemUuid(server),
    '-smbios',
    `type=1,manufacturer=Rackward,product=Lab,serial=${server.name}`,
    ...firmwareArgs(server),
    ...(server.tpm ? TPM_ARGS : []),
    ...cards.flatMap(([card, mac, tap, index], i) => [
      '-netdev',
      `tap,id=n${i},ifname=${tap},script=no,downscript=no`,
      // OVMF has its own virtio driver; with QEMU's ROM the network boot would be iPXE's from the start, and EDK2's
      // would never be tried.
      '-device',
      `${card === 'virtio' ? 'virtio-net-pci' : 'e1000e'},id=nic${i},netdev=n${i},mac=${mac}${index ? `,bootindex=${index}` : ''}${server.firmware === 'uefi' && card === 'virtio' ? ',romfile=' : ''}`,
    ]),
    ...[server.diskBytes, ...(server.moreDisks ?? [])].flatMap((_, i) => (pulled.has(i) ? [] : diskArgs(server, i))),
    // The virtual media drive, which real BMCs have as a USB device.
    ...(server.bmc === 'redfish' ? ['-device', 'ide-cd,id=cd,bus=ide.5,bootindex=$cd'] : []),
  ]
  return argv.map((word) => (/^[\w.,:=/${}+-]+$/.test(word) ? word : `'${word}'`)).join(' ')
}

const TPM_ARGS = ['-chardev', 'socket,id=tpm,path=$d/tpm.sock', '-tpmdev', 'emulator,id=tpm0,chardev=tpm', '-device', 'tpm-tis,tpmdev=tpm0'] // prettier-ignore

const firmwareArgs = (server: Server): string[] =>
  server.firmware === 'bios'
    ? []
    : [
        '-drive',
        `if=pflash,format=raw,readonly=on,file=${machineOf(server).firmware.dir}/$code`,
        '-drive',
        `if=pflash,format=raw,file=${server.dir}/vars.fd`,
        ...machineOf(server).firmware.guard,
        ...(server.httpBoot ? ['-fw_cfg', 'name=opt/org.tianocore/IPv4PXESupport,string=n'] : []),
        ...(server.httpsAuthority ? ['-fw_cfg', `name=etc/edk2/https/cacerts,file=${server.dir}/cacerts.esl`] : []),
        // The rack has no IPv6: its network boot attempts would only wait.
        '-fw_cfg',
        'name=opt/org.tianocore/IPv6PXESupport,string=n',
      ]

/** Pulls a disk out: the next start of the server is without it. */
export async function pullDisk(server: Server, number: number, accel: 'kvm' | 'tcg'): Promise<void> {
  await writeFile(join(server.dir, 'chassis.sh'), chassisScript(server, accel, new Set([number])), { mode: 0o755 })
}

function diskArgs(server: Server, i: number): string[] {
  // unsafe: the host's page cache outlives the guest, which is all that a virtual rack asks of it.
  const drive = [
    '-drive',
    `file=${diskPath(server, i)},format=raw,if=none,id=d${i},cache=unsafe,discard=unmap,detect-zeroes=unmap`,
  ]
  const serial = `${server.name}-d${i}`
  // Firmware tries every disk, the first before the others.
  const boot = `,bootindex=${i === 0 ? '$disk' : 10 + i}`
  switch (server.diskKind) {
    case 'virtio':
      return [...drive, '-device', `virtio-blk-pci,id=disk${i},drive=d${i},serial=${serial}${boot}`]
    case 'nvme':
      return [...drive, '-device', `nvme,id=disk${i},drive=d${i},serial=${serial}${boot}`]
    case 'ahci':
      return [...drive, '-device', `ide-hd,id=disk${i},drive=d${i},bus=ide.${i},serial=${serial}${boot}`]
  }
}
