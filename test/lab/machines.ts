/** The virtual machines of the lab by their architecture: which QEMU, which board, which firmware. */
import type { Architecture } from '../../kit/architecture.ts'

export interface MachineType {
  readonly program: string
  /** `smm`: system management mode, of which the script decides at each start. */
  machine(accel: 'kvm' | 'tcg', smm: string): string
  cpu(accel: 'kvm' | 'tcg'): string
  /** Directory of the UEFI firmware, its code with Secure Boot and without, and its variables with keys and without. */
  readonly firmware: {
    readonly dir: string
    readonly code: string
    readonly secureCode: string
    readonly variables: string
    readonly factoryVariables: string
    /** What guards the variables, as words for QEMU. */
    readonly guard: readonly string[]
  }
}

export const MACHINES: Readonly<Record<Architecture, MachineType>> = {
  x86_64: {
    program: 'qemu-system-x86_64',
    machine: (accel, smm) => `q35,accel=${accel},smm=${smm}`,
    // Software emulation runs SHA-256 twice as fast without AVX and SSSE3, which it would have to imitate.
    cpu: (accel) => (accel === 'kvm' ? 'host' : 'qemu64'),
    firmware: {
      dir: '/usr/share/OVMF',
      code: 'OVMF_CODE_4M.fd',
      secureCode: 'OVMF_CODE_4M.secboot.fd',
      variables: 'OVMF_VARS_4M.fd',
      factoryVariables: 'OVMF_VARS_4M.ms.fd',
      // With smm=on, only code in system management mode may change the variables; without it the property does
      // nothing.
      guard: ['-global', 'driver=cfi.pflash01,property=secure,value=$smm'],
    },
  },
  aarch64: {
    program: 'qemu-system-aarch64',
    // A guest of another architecture is always emulated.
    machine: () => 'virt,accel=tcg',
    cpu: () => 'cortex-a57',
    firmware: {
      dir: '/usr/share/AAVMF',
      code: 'AAVMF_CODE.fd',
      // The same code: keys in the variables switch Secure Boot on.
      secureCode: 'AAVMF_CODE.fd',
      variables: 'AAVMF_VARS.fd',
      factoryVariables: 'AAVMF_VARS.ms.fd',
      guard: [],
    },
  },
}

export const machineOf = ({ architecture = 'x86_64' }: { readonly architecture?: Architecture }): MachineType =>
  MACHINES[architecture]
