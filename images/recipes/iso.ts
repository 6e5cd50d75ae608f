/** The deploy ramdisk as an ISO image for virtual media: El Torito for BIOS, and for UEFI with Secure Boot on or off,
 *  and a region of fixed size for the kernel arguments of one boot, which the boot services lay over it while they
 *  serve it. Made from ordinary files: nothing is mounted. */
import { copyFile, mkdir, readdir, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { runOk } from '../../kit/run.ts'
import { ARGS_BYTES, ARGS_PATH, emptyArgs } from '../boot-args.ts'
import { makeImage } from './grub.ts'

const TIMEOUT_MS = 5 * 60_000
const MIB = 1024 * 1024
/** More than its tables and directories take. */
const FAT_MIB = 1
const LABEL = 'RACKWARD_BOOT'

/** Of GRUB for BIOS. That for UEFI is signed, and has its own. */
const MODULES = [
  'biosdisk',
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

/** Where the signed GRUB looks for it. */
const MENU_PATH = '/boot/grub/grub.cfg'
/** By this file the signed GRUB finds the image where firmware did not say which drive it was started from. */
const MARK_PATH = '/.disk/info'

/** What GRUB for BIOS carries out first knows no conditions: the menu does. */
const EARLY = `search --no-floppy --label ${LABEL} --set=root
configfile ($root)${MENU_PATH}
`

/** Reads the region, then boots. The signed GRUB comes here with the drive that it was started from as its root. A
 *  machine that cannot boot starts anew after a while, as `panic=30` does later. */
const MENU = `set timeout=0
if [ ! -e "($root)${ARGS_PATH}" ]; then
  search --no-floppy --label ${LABEL} --set=root
fi
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
  /** Directory of the loaders for UEFI (iso-loaders.ts). */
  readonly loaders: string
}

/** Makes the template at `out`; `workDir` is for files that are not kept. */
export async function makeBootIso(parts: IsoParts, { out, workDir }: { out: string; workDir: string }): Promise<void> {
  const tree = join(workDir, 'iso')
  for (const path of [ARGS_PATH, MENU_PATH, MARK_PATH]) await mkdir(dirname(join(tree, path)), { recursive: true })
  await copyFile(parts.kernel, join(tree, 'kernel'))
  await copyFile(parts.initrd, join(tree, 'initrd'))
  await copyFile(parts.rescue, join(tree, 'rescue'))
  await writeFile(join(tree, ARGS_PATH), emptyArgs())
  await writeFile(join(tree, MENU_PATH), MENU)
  await writeFile(join(tree, MARK_PATH), `${LABEL}\n`)

  const bios = await makeImage({ workDir, early: EARLY, format: 'i386-pc-eltorito', modules: MODULES })
  await writeFile(join(tree, 'boot/bios.img'), bios)
  await makeEsp(parts.loaders, join(tree, 'boot/efi.img'))
  await runOk(isoCommand(tree, out), { timeoutMs: TIMEOUT_MS })
  await rm(tree, { recursive: true })
}

/** What firmware starts: a FAT image as El Torito wants it, with the loaders in EFI/BOOT. */
async function makeEsp(loaders: string, esp: string): Promise<void> {
  const files = (await readdir(loaders)).map((name) => join(loaders, name))
  const sizes = await Promise.all(files.map(async (file) => (await stat(file)).size))
  const totalBytes = sizes.reduce((sum, sizeBytes) => sum + sizeBytes, 0)
  await writeFile(esp, '')
  await truncate(esp, (Math.ceil(totalBytes / MIB) + FAT_MIB) * MIB)
  await runOk(['mkfs.vfat', '-n', 'ESP', esp], { timeoutMs: TIMEOUT_MS })
  await runOk(['mmd', '-i', esp, '::/EFI', '::/EFI/BOOT'], { timeoutMs: TIMEOUT_MS })
  await runOk(['mcopy', '-i', esp, ...files, '::/EFI/BOOT/'], { timeoutMs: TIMEOUT_MS })
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
export const ISO_RECIPE = JSON.stringify([EARLY, MENU, MODULES, MARK_PATH, LABEL, ARGS_BYTES, BIOS, UEFI])
