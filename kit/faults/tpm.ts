/** Faults of the TPM of a server, and of the proof of its boot. */
import type { Meaning } from './meaning.ts'

export const TPM_FAULTS = {
  'tpm.absent': {
    retry: false,
    description: 'the server has no TPM 2.0, or its firmware hides it',
    remedy: 'switch the TPM on in the setup of the firmware (TPM 2.0, visible), or set driver_info/tpm to off',
  },
  'tpm.locked': {
    retry: false,
    description:
      'the TPM refuses: it is locked out, disabled, or somebody set a password for its endorsement hierarchy',
    remedy: 'clear the TPM in the setup of the firmware, which also removes keys that an old system kept in it',
  },
  'tpm.failed': {
    retry: false,
    description: 'a command of the TPM failed',
    remedy: 'power the server off and on; update the firmware of the TPM if it persists, or set driver_info/tpm to off',
  },
  'tpm.silent': {
    retry: false,
    description: 'the agent sent no proof of its boot',
    remedy: 'build the deploy ramdisk anew (rackward image ramdisk); the present one is older than this conductor',
  },
  'tpm.replaced': {
    retry: false,
    description: 'the server has another TPM than the one that is recorded',
    remedy:
      'find out whether the mainboard or the TPM was replaced; if it was, accept the new one: rackward node tpm NODE --accept',
  },
  'tpm.log': {
    retry: false,
    description: 'the event log of the firmware is missing, cut or malformed',
    remedy: 'update the firmware of the server; compare the log with tpm2_eventlog in the rescue system',
  },
  'tpm.replay': {
    retry: false,
    description: 'the event log does not lead to the values that the TPM signed',
    remedy:
      'power the server off and on, and try again; if it persists, treat the server as compromised or its firmware as broken',
  },
  'tpm.nonce': {
    retry: false,
    description: 'the quote was made for another nonce: it is of another boot, or was replayed',
    remedy: 'power the server off and on; if it persists, somebody answers in its place: look at its network',
  },
  'tpm.quote': {
    retry: false,
    description: 'the quote is no proof: its signature, its key or its form is wrong',
    remedy: 'power the server off and on; if it persists, somebody answers in its place: look at its network',
  },
  'tpm.served': {
    retry: false,
    description: 'the server booted something else than what was served to it',
    remedy:
      'look for another DHCP or boot server on the network, and whether the boot files were replaced during the boot; then try again',
  },
  'tpm.unmeasured': {
    retry: false,
    description: 'this way of booting does not measure what was served, so nothing is proven of it',
    remedy:
      'boot the node through the signed loaders in UEFI mode (capabilities secure_boot:true in its properties), or set driver_info/tpm to observe',
  },
} as const satisfies Record<string, Meaning>
