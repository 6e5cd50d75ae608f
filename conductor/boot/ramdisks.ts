/** Which ramdisk a server gets, by its architecture. Pure. */
import type { Architecture } from '../../kit/architecture.ts'
import type { BootConfig } from '../config.ts'

export interface Ramdisk {
  readonly kernel: string
  readonly initrd: string
  readonly rescueInitrd?: string | undefined
  readonly kernelArgs: readonly string[]
  /** Of the paths that it is served by. */
  readonly path: string
}

/** The serial console that servers of an architecture usually have. */
const CONSOLES: Readonly<Record<Architecture, readonly string[]>> = {
  x86_64: ['console=tty0', 'console=ttyS0,115200n8'],
  aarch64: ['console=tty0', 'console=ttyAMA0,115200n8'],
}

type Ramdisks = Pick<BootConfig, 'kernel' | 'initrd' | 'rescueInitrd' | 'kernelArgs' | 'architecture' | 'ramdisks'>

/** Undefined: none is configured. */
export function ramdiskFor(boot: Ramdisks, architecture: Architecture): Ramdisk | undefined {
  const { kernel, initrd, rescueInitrd, kernelArgs } = boot
  if (architecture === boot.architecture) return { kernel, initrd, rescueInitrd, kernelArgs, path: '/ramdisk' }
  const own = boot.ramdisks[architecture]
  return own && { ...own, kernelArgs: own.kernelArgs ?? CONSOLES[architecture], path: `/ramdisk/${architecture}` }
}

/** Every ramdisk that is configured. */
export const allRamdisks = (boot: Ramdisks): Ramdisk[] =>
  (['x86_64', 'aarch64'] as const).flatMap((architecture) => ramdiskFor(boot, architecture) ?? [])

/** What the record of a node says, and what its firmware does. */
export interface Said {
  readonly recorded: Architecture | null
  readonly firmware: Architecture | null
}

/** The ramdisk for a server, or why it gets none. */
export type RamdiskChoice = { readonly ramdisk: Ramdisk } | { readonly why: string }

export function chooseRamdisk(boot: Ramdisks, { recorded, firmware }: Said): RamdiskChoice {
  if (recorded && firmware && recorded !== firmware)
    return {
      why: `the firmware says ${firmware} and properties/cpu_arch ${recorded}: correct or remove properties/cpu_arch`,
    }
  const architecture = recorded ?? firmware ?? boot.architecture
  const ramdisk = ramdiskFor(boot, architecture)
  return ramdisk
    ? { ramdisk }
    : { why: `there is no ramdisk for ${architecture}: boot.ramdisks.${architecture} is not configured` }
}
