/** The deploy ramdisk as one signed program of UEFI: systemd's stub with kernel, ramdisk and command line in it (UAPI
 *  Group, "Unified Kernel Image"). Firmware that trusts the certificate checks all of it. */
import { rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Fault } from '../../kit/fault.ts'
import { runOk } from '../../kit/run.ts'
import { packagedFiles } from './packaged-files.ts'

const TIMEOUT_MS = 5 * 60_000
const SUITE = 'bookworm'
const PACKAGES = ['systemd-boot-efi'] as const
const STUB = 'usr/lib/systemd/boot/efi/linuxx64.efi.stub'
/** Sections of a program begin on pages. */
const PAGE_BYTES = 4096
const OS_RELEASE = 'ID=rackward\nNAME="Rackward deploy ramdisk"\nPRETTY_NAME="Rackward deploy ramdisk"\n'

export interface UkiParts {
  readonly kernel: string
  readonly initrd: string
  /** The kernel command line. With Secure Boot on, the stub takes no other. */
  readonly args: readonly string[]
  /** PEM; the key is read by the program that signs. */
  readonly keyFile: string
  readonly certificateFile: string
}

/** With the stub of Debian. */
export async function buildUki(
  parts: UkiParts,
  { out, cacheDir, say }: { out: string; cacheDir: string; say: (line: string) => void },
): Promise<void> {
  const stub = join(
    await packagedFiles(
      { name: 'efi-stub', suite: SUITE, packages: PACKAGES, files: { [STUB]: 'stub' } },
      { cacheDir, say },
    ),
    'stub',
  )
  say('linking kernel, ramdisk and command line into one program of UEFI')
  await linkUki(parts, { stub, out })
}

/** Writes it to `out`, whole or not at all. */
export async function linkUki(parts: UkiParts, { stub, out }: { stub: string; out: string }): Promise<void> {
  const work = `${out}.work-${process.pid}`
  const file = (name: string) => `${work}.${name}`
  const names = ['osrel', 'cmdline', 'unsigned', 'signed']
  try {
    await writeFile(file('osrel'), OS_RELEASE)
    await writeFile(file('cmdline'), `${parts.args.join(' ')}\0`)
    const sections = await placed(stub, [
      ['.osrel', file('osrel')],
      ['.cmdline', file('cmdline')],
      ['.linux', parts.kernel],
      ['.initrd', parts.initrd],
    ])
    const add = sections.flatMap(({ name, path, at }) => [
      '--add-section',
      `${name}=${path}`,
      '--change-section-vma',
      `${name}=0x${at.toString(16)}`,
    ])
    await runOk(['objcopy', ...add, stub, file('unsigned')], { timeoutMs: TIMEOUT_MS })
    const { keyFile, certificateFile } = parts
    const sign = ['sbsign', '--key', keyFile, '--cert', certificateFile, '--output', file('signed'), file('unsigned')]
    await runOk(sign, { timeoutMs: TIMEOUT_MS })
    await runOk(['sbverify', '--cert', certificateFile, file('signed')], { timeoutMs: TIMEOUT_MS })
    await runOk(['mv', file('signed'), out], { timeoutMs: TIMEOUT_MS })
  } finally {
    for (const name of names) await rm(file(name), { force: true })
  }
}

/** Where sections go: behind those of the stub, each on a page of its own. Sections that overlap are signed and refused
 *  by firmware. */
async function placed(stub: string, sections: readonly (readonly [name: string, path: string])[]) {
  let end = endOfSections(await runOk(['objdump', '--wide', '--section-headers', stub], { timeoutMs: TIMEOUT_MS }))
  const found: { name: string; path: string; at: number }[] = []
  for (const [name, path] of sections) {
    const at = Math.ceil(end / PAGE_BYTES) * PAGE_BYTES
    found.push({ name, path, at })
    end = at + (await stat(path)).size
  }
  return found
}

/** Of `objdump -h`: index, name, size, VMA, all but the name in hexadecimal. */
export function endOfSections(text: string): number {
  const ends = [...text.matchAll(/^\s*\d+\s+\S+\s+([0-9a-f]{8,16})\s+([0-9a-f]{8,16})\s/gm)].map(
    ([, size = '', at = '']) => Number.parseInt(size, 16) + Number.parseInt(at, 16),
  )
  if (ends.length === 0) throw new Fault('run.failed', 'objdump shows no sections of the EFI stub')
  return Math.max(...ends)
}
