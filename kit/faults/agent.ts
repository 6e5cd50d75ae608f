/** Faults of the agent in the deploy ramdisk, and of jumps from it into an image (kexec). */
import type { Meaning } from './meaning.ts'

export const AGENT_FAULTS = {
  'agent.token': {
    retry: false,
    description: 'the boot token is invalid',
    remedy: 'boot the node again through its conductor',
  },
  'room.unknown': {
    retry: false,
    description: 'the conductor knows no boot room with this certificate',
    remedy: 'give the room a bundle of its own: rackward room add, or rackward room renew',
  },
  'room.expired': {
    retry: false,
    description: 'the certificate of the boot room has expired',
    remedy: 'write a new bundle (rackward room renew NAME) and start the room with it',
  },
  'agent.session': {
    retry: false,
    description: 'the agent session is invalid',
    remedy: 'boot the node again through its conductor',
  },
  'agent.network': {
    retry: true,
    description: 'the agent cannot reach the conductor',
    remedy: 'check the network between the node and the conductor',
  },
  'agent.broken': {
    retry: false,
    description: 'the agent failed unexpectedly',
    remedy: 'look at the console of the node and report the error',
  },
  'agent.jump': {
    retry: false,
    description: 'the agent could not jump into the image (kexec)',
    remedy:
      'none is needed: the server is started cold; look at the console of the node for what its kernel says of kexec; ' +
      'reboot: cold in driver_info of the node ends further tries',
  },
  'jump.driver': {
    retry: false,
    description: 'the kernel of the image has no module for the root disk, so the agent does not jump into it (kexec)',
    remedy:
      'the server is started cold, which may fail too: add the module to the initramfs of the image (MODULES=most for ' +
      'initramfs-tools, --no-hostonly for dracut), and import the image again',
  },
  'jump.refused': {
    retry: false,
    description: 'the kernel of the deploy ramdisk did not load the kernel of the image (kexec)',
    remedy:
      'none is needed: the server is started cold; with Secure Boot, sign the kernel of the image with a key that the ' +
      'server trusts, else look at the console of the node',
  },
  'jump.silent': {
    retry: false,
    description: 'the system that the agent jumped into (kexec) was not heard in time',
    remedy:
      'none is needed: the server is started cold, and its model no longer jumps by itself; look at the console of the ' +
      'node for where the new kernel stopped; reboot: cold in driver_info of the node ends further tries',
  },
  'jump.restarted': {
    retry: false,
    description: 'the server restarted through its firmware instead of the kernel that the agent jumped into (kexec)',
    remedy:
      'none is needed: the image runs, and its model no longer jumps by itself; reboot: cold in driver_info of the ' +
      'node ends further tries',
  },
} as const satisfies Record<string, Meaning>
