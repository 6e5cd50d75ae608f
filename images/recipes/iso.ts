/** The deploy ramdisk as an ISO image for virtual media: El Torito for BIOS and UEFI, and a region of fixed size for
 *  the kernel arguments of one boot, which the boot services lay over it while they serve it. Made from ordinary files:
 *  nothing is mounted. */
import { copyFile, mkdir, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { runOk } from '../../kit/run.ts'
import { ARGS_BYTES, ARGS_PATH, emptyArgs } from '../boot-args.ts'
import { makeImage } from './grub.ts'

const TIMEOUT_MS = 5 * 60_000
/** GRUB for UEFI needs about 1 MiB. */
const ESP_MIB = 4
const MIB = 1024 * 1024
const LABEL = 'RACKWARD_BOOT'

const MODULES = [
  'iso9660',
  'normal',
  'search',
  'search_label',
  'linux',
  'echo',
  'test',
  'configfile',
  'terminal',
  'serial',
  'gzio',
  'all_video',
  'reboot',
  'sleep',
]

const MENU_PATH = '/boot/grub.cfg'

/** What is carried out first knows no conditions: the menu does. */
const EARLY = `search --no-floppy --label ${LABEL} --set=root
configfile ($root)${MENU_PATH}
`

/** Reads the region, then boots. A machine that cannot boot starts anew after a while, as `panic=30` does later. */
const MENU = `set timeout=0
source ($root)${ARGS_PATH}
if [ "$system" = rescue ]; then
  linux ($root)/kernel $args
  initrd ($root)/initrd ($root)/rescue
elif [ "$system" = deploy ]; then
  linux ($root)/kernel $args
  initrd ($root)/initrd
else
  echo "Rackward: this ISO image carries no boot order; it boots only while the conductor serves it"
fi
boot
sleep 30
reboot
`

export interface IsoParts {
  readonly kernel: string
  readonly initrd: string
  /** What the rescue system has beyond the deploy ramdisk. */
  readonly rescue: string
}

/** Makes the template at `out`; `workDir` is for files that are not kept. */
export async function makeBootIso(parts: IsoParts, { out, workDir }: { out: string; workDir: string }): Promise<void> {
  const tree = join(workDir, 'iso')
  await mkdir(join(tree, 'rackward'), { recursive: true })
  await mkdir(join(tree, 'boot'))
  await copyFile(parts.kernel, join(tree, 'kernel'))
  await copyFile(parts.initrd, join(tree, 'initrd'))
  await copyFile(parts.rescue, join(tree, 'rescue'))
  await writeFile(join(tree, ARGS_PATH), emptyArgs())

  await writeFile(join(tree, MENU_PATH), MENU)

  const grub = { workDir, early: EARLY }
  await writeFile(
    join(tree, 'boot/bios.img'),
    await makeImage({ ...grub, format: 'i386-pc-eltorito', modules: ['biosdisk', ...MODULES] }),
  )
  await writeFile(
    join(workDir, 'bootx64.efi'),
    await makeImage({ ...grub, format: 'x86_64-efi', modules: ['efi_gop', 'efi_uga', ...MODULES] }),
  )
  await makeEsp(join(workDir, 'bootx64.efi'), join(tree, 'boot/efi.img'))
  await runOk(isoCommand(tree, out), { timeoutMs: TIMEOUT_MS })
  await rm(tree, { recursive: true })
}

async function makeEsp(loader: string, esp: string): Promise<void> {
  await writeFile(esp, '')
  await truncate(esp, ESP_MIB * MIB)
  await runOk(['mkfs.vfat', '-n', 'ESP', esp], { timeoutMs: TIMEOUT_MS })
  await runOk(['mmd', '-i', esp, '::/EFI', '::/EFI/BOOT'], { timeoutMs: TIMEOUT_MS })
  await runOk(['mcopy', '-i', esp, loader, '::/EFI/BOOT/BOOTX64.EFI'], { timeoutMs: TIMEOUT_MS })
}

const BIOS = ['-b', 'boot/bios.img', '-no-emul-boot', '-boot-load-size', '4', '-boot-info-table', '--grub2-boot-info']
const UEFI = ['-eltorito-alt-boot', '-e', 'boot/efi.img', '-no-emul-boot']

const isoCommand = (tree: string, out: string): string[] => [
  'xorriso',
  '-as',
  'mkisofs',
  '-quiet',
  '-R',
  '-V',
  LABEL,
  '-c',
  'boot/catalog',
  ...BIOS,
  ...UEFI,
  '-o',
  out,
  tree,
]

/** What an image depends on beside its files: another recipe makes another image. */
export const ISO_RECIPE = JSON.stringify([EARLY, MENU, MODULES, LABEL, ARGS_BYTES, BIOS, UEFI])
