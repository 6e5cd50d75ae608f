/** Why a boot does not go on: likely causes and remedies for each milestone that is missing. */
import type { Milestone } from '../../boot/wire.ts'

/** `first boot`: less likely for a server that went this way before. */
export type Missing = readonly [cause: string, remedy: string, when?: 'first boot']

/** What is missing after each milestone, and what that usually means. The order is the order of likelihood. */
export const MISSING: Readonly<Record<Milestone, readonly Missing[]>> = {
  dhcp: [
    [
      'the firmware does not try the network',
      'look at the boot order in the firmware; some BMCs take a one-time boot device and ignore it',
    ],
    [
      'its card has another MAC address than its port',
      'compare the ports of the node with the label of the card',
      'first boot',
    ],
    [
      'the cable, the VLAN, or a switch port that still learns (spanning tree)',
      'look at the link light; set the switch port to port-fast',
    ],
  ],
  loader: [
    ['TFTP is blocked between the server and the conductor', 'let UDP port 69 and the answers from other ports pass'],
    ['the firmware takes no boot file from us', 'look at the console'],
  ],
  grub: [
    [
      'Secure Boot refused shim: the firmware lacks the certificate that signed it, or has it on its list of revoked ones',
      'look at the console for "Access Denied" or "Security Violation"; compare the certificates in the database db of the firmware with those of Microsoft of 2011 and 2023',
    ],
    ['GRUB is missing beside shim', 'make loaders with "rackward image build loaders" and set boot.loaders'],
  ],
  'ipxe-dhcp': [
    [
      'iPXE has no driver for the card, or lost the link',
      'look at the console; try the other firmware type or another card',
    ],
    [
      'Secure Boot is on and the firmware refused iPXE, which is not signed',
      'look at the console for "Access Denied"; set secure_boot:true in properties/capabilities, and boot.loaders to loaders of "rackward image build loaders"',
    ],
    ['a switch port that still learns (spanning tree) after iPXE reset the link', 'set the switch port to port-fast'],
  ],
  script: [['HTTP is blocked between the server and the conductor', 'let the port of boot.http pass']],
  kernel: [['the boot script could not be carried out', 'look at the console; iPXE prints why']],
  initrd: [['the transfer of the ramdisk broke off or is slow', 'look at the load of the conductor’s network']],
  media: [
    [
      'the BMC does not reach the conductor, or does not take its URL',
      'look at boot.media and driver_info/external_http_url; the BMC may have no DNS, another network, or refuse HTTP or the certificate',
    ],
    ['the BMC shows a medium that it never mapped', 'restart the BMC; look at its attach mode for virtual media'],
  ],
  hello: [
    [
      'the kernel does not start on this machine: too little memory (1 GiB is needed) or a panic',
      'look at the console',
      'first boot',
    ],
    ['the ramdisk has no driver for the card', 'look at the console; the agent names the card', 'first boot'],
    ['the agent’s port is blocked', 'let TCP to agent.port pass from the provisioning network'],
  ],
}
