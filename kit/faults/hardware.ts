/** Faults of BMCs, network boot, images, disks and deploy agents. */
import type { Meaning } from './meaning.ts'

export const HARDWARE_FAULTS = {
  'bmc.unreachable': {
    retry: true,
    description: 'the BMC did not answer',
    remedy: 'check its address, its cable, and that IPMI over LAN or Redfish is enabled',
  },
  'bmc.password': {
    retry: false,
    description: 'the BMC refused the user or the password',
    remedy: 'correct the user and the password of the BMC in driver_info',
  },
  'bmc.refused': {
    retry: false,
    description: 'the BMC refused the command',
    remedy: 'check the privilege level of the BMC user',
  },
  'bmc.identity': {
    retry: false,
    description: 'the certificate of the BMC is not the expected one',
    remedy:
      'find out why it changed; then set rackward_tls_pin in driver_info to the new key, or correct redfish_verify_ca',
  },
  'bmc.password-change': {
    retry: false,
    description: 'the BMC demands a new password',
    remedy: 'change the password of the BMC user, and correct driver_info',
  },
  'bmc.licence': {
    retry: false,
    description: 'the BMC has no licence for this',
    remedy: 'install the licence that the message names, or use another interface',
  },
  'bmc.sessions': {
    retry: true,
    description: 'the session table of the BMC is full',
    remedy:
      'end sessions that nobody uses at the BMC, those of other IPMI clients among them; with Redfish, set ' +
      'redfish_auth_type to basic',
  },
  'bmc.subscriptions': {
    retry: true,
    description: 'the table of event subscriptions of the BMC is full',
    remedy: 'delete subscriptions that nobody uses at the BMC (EventService/Subscriptions)',
  },
  'bmc.unready': {
    retry: true,
    description: 'the BMC is busy: it starts, updates, or waits for the server to start',
    remedy: 'try again in a moment; reset the BMC if this persists',
  },
  'bmc.conflict': {
    retry: true,
    description: 'the BMC has a pending change, or the resource changed meanwhile',
    remedy: 'check its job queue, and try again',
  },
  'bmc.path': {
    retry: false,
    description: 'the BMC has no such resource',
    remedy: 'correct redfish_system_id in driver_info, or remove it if the BMC has one system',
  },
  'bmc.timeout': {
    retry: true,
    description: 'the BMC did not finish in time',
    remedy: 'reset the BMC if it stays slow',
  },
  'bmc.busy': {
    retry: true,
    description: 'the command was not sent: commands of a higher priority came first',
    remedy: 'try again in a moment',
  },
  'bmc.unproven': {
    retry: true,
    description: 'the BMC accepted the command, but the power state did not change',
    remedy: 'check the server; it may ignore its BMC',
  },
  'bmc.soft-off': {
    retry: false,
    description: 'the operating system did not shut down on request',
    remedy: 'use "power off", or look at its console',
  },
  'bmc.task': {
    retry: false,
    description: 'the BMC accepted work that did not end as ordered',
    remedy: 'read what the BMC says of it, in its job queue or its log, and order it again',
  },
  'bmc.task-failed': {
    retry: false,
    description: 'the BMC says that its work failed, and what was ordered does not hold',
    remedy: 'follow what the BMC says of it, then order it again',
  },
  'bmc.task-gone': {
    retry: false,
    description: 'the BMC has forgotten the work, and what was ordered does not hold',
    remedy: 'look into its job queue and its log, whether somebody deleted the job; then order it again',
  },
  'bmc.restarted': {
    retry: false,
    description: 'the BMC restarted in the middle of its work, and what was ordered does not hold',
    remedy: 'see in its log why it restarted; then order it again',
  },
  'bmc.unchanged': {
    retry: false,
    description: 'the BMC says that its work is complete, and nothing has changed',
    remedy:
      'look whether it waits for a power cycle, or refused the file in its log; what it says of the end cannot ' +
      'be relied on',
  },
  'bmc.updating': {
    retry: true,
    description: 'the BMC updates its own firmware and does not answer',
    remedy: 'wait until the update has ended',
  },
  'bmc.config': {
    retry: false,
    description: 'driver_info is incomplete',
    remedy: 'set the named key in driver_info',
  },
  'bmc.media': {
    retry: false,
    description: 'virtual media did not work',
    remedy:
      'see that the BMC reaches the URL of the conductor (boot.media, driver_info/external_http_url) and has a ' +
      'free virtual CD drive',
  },
  'bmc.http-boot': {
    retry: false,
    description: 'the firmware did not boot from the URL that its BMC gave to it',
    remedy:
      'see that HTTP boot is switched on in the firmware, that its network card gets an address (by DHCP or in the ' +
      'settings of the firmware) and reaches the URL of the conductor (boot.media, driver_info/external_http_url)',
  },
  'boot.down': {
    retry: true,
    description: 'the boot services are not running',
    remedy: 'see the log of the boot process',
  },
  'image.checksum': {
    retry: false,
    description: 'the image does not match its checksum',
    remedy: 'download the image again, or correct its checksum',
  },
  'image.format': {
    retry: false,
    description: 'the format of the image is not supported',
    remedy: 'use a raw or qcow2 image without a backing file',
  },
  'image.unsigned': {
    retry: false,
    description: 'the image has no signed boot loader, and Secure Boot would stop it',
    remedy:
      'use an image whose EFI/BOOT/BOOTX64.EFI is signed (shim), or do without secure_boot:true; ' +
      'provision.unsignedImages can let such images pass',
  },
  'image.untrusted': {
    retry: false,
    description: 'no key of images.trustedKeys signed the image',
    remedy:
      'sign it with rackward image sign and a key whose public key is in images.trustedKeys, or add the public key of ' +
      'who signed it there',
  },
  'image.architecture': {
    retry: false,
    description: 'the image is for servers of another architecture',
    remedy:
      'use an image of the architecture of the node; where properties/cpu_arch is wrong, correct it or inspect ' +
      'the node',
  },
  'image.source': {
    retry: true,
    description: 'the image could not be read',
    remedy: 'check the address and that the conductor has permission to read it',
  },
  'image.space': {
    retry: false,
    description: 'the disk of the image store has no room for the image',
    remedy:
      'remove images that nobody uses (rackward image gc, rackward image rm), give the store a bigger disk, or ' +
      'lower limits.images.reserveBytes',
  },
  'image.broken': {
    retry: false,
    description: 'a stored image cannot be used',
    remedy: 'remove it with rackward image rm and its id, and import it again',
  },
  'image.missing': {
    retry: false,
    description: 'the image is not in the store',
    remedy: 'import it with: rackward image import',
  },
  'image.piece': {
    retry: true,
    description: 'a piece of the image does not match its index',
    remedy: 'import the image again; its stored copy is damaged',
  },
  'image.damaged': {
    retry: true,
    description: 'the data of the image cannot be decompressed',
    remedy: 'import the image again; its stored copy is damaged',
  },
  'deploy.no-disk': {
    retry: false,
    description: 'no disk is suitable for the image',
    remedy: 'check the disks in the inventory and the root device hints',
  },
  'deploy.hints': {
    retry: false,
    description: 'no disk matches the root device hints',
    remedy: 'correct properties/root_device, or instance_info/root_device',
  },
  'deploy.ambiguous': {
    retry: false,
    description: 'several disks match the root device hints equally',
    remedy: 'use a hint by serial or wwn',
  },
  'deploy.too-small': {
    retry: false,
    description: 'the disk is smaller than the image',
    remedy: 'choose a larger disk or a smaller image',
  },
  'deploy.write': {
    retry: true,
    description: 'the disk could not be written',
    remedy: 'check the health of the disk',
  },
  'deploy.readback': {
    retry: false,
    description: 'the disk returns other data than was written',
    remedy: 'replace the disk',
  },
  'deploy.download': {
    retry: true,
    description: 'the image could not be downloaded from the conductor',
    remedy: 'check the network between the node and the conductor',
  },
  'deploy.firmware': {
    retry: false,
    description: 'the boot entry could not be set',
    remedy: 'check the boot settings of the firmware',
  },
  'raid.disks': {
    retry: false,
    description: 'the RAID volumes cannot be made of the disks that are there',
    remedy: 'compare target_raid_config with the disks in the inventory',
  },
  'raid.occupied': {
    retry: false,
    description: 'a disk that the RAID needs holds data',
    remedy: 'remove it with the step raid.delete_configuration, or erase the disk',
  },
  'raid.absent': {
    retry: false,
    description: 'the controller accepted the order, and the volume did not appear, or did not go',
    remedy:
      'look at the controller in its own set-up or log: drives may be foreign, or its queue may be stuck; then ' +
      'order it again',
  },
  'raid.failed': {
    retry: false,
    description: 'a RAID volume could not be made, started or removed',
    remedy:
      'check the health of the disks, then clean the node with raid.delete_configuration and raid.create_configuration',
  },
  'inspect.rule': {
    retry: false,
    description: 'an inspection rule failed',
    remedy: 'check the rule and the inventory that it read',
  },
  'clean.failed': {
    retry: false,
    description: 'a disk could not be cleaned',
    remedy: 'check the disk, then manage and provide the node again',
  },
} as const satisfies Record<string, Meaning>
