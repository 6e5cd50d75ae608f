/** (request, what we know of the client, the loaders that are there) -> the file that a client fetches next. */
import { filesFor, firmwareOf, GRUB_LOADER, SHIM_LOADER } from '../firmware.ts'
import { clientArchs, isHttpBoot, isIpxe, isNetboot } from './options.ts'
import { packetMac, type Packet } from './packet.ts'

export interface BootFileParts {
  readonly client: {
    readonly scriptUrl: string
    readonly loaderUrl: string
    /** Its firmware takes signed loaders alone, as with Secure Boot. */
    readonly signed?: boolean
    /** The signed ramdisk of the site is there, and its firmware takes it. */
    readonly uki?: boolean
  }
  /** The loaders that are there. */
  readonly loaders: ReadonlySet<string>
  /** Which of several loaders a client gets; they come in the order of the table. */
  readonly pick: (files: readonly string[], arch: number) => string | undefined
}

/** What a client that boots from the network fetches next; nothing for others. `why`: what is missing for it. */
export function bootFileFor(
  request: Packet,
  { client, loaders, pick }: BootFileParts,
): { readonly file?: string; readonly why?: string } {
  if (!isNetboot(request.options)) return {}
  if (isIpxe(request.options)) return { file: client.scriptUrl }
  const row = firmwareOf(clientArchs(request.options), packetMac(request))
  const { arch, name } = row
  const files = filesFor(row, { signed: client.signed ?? false, uki: client.uki ?? false })
  if (files.length === 0) return { why: `there is no boot file for ${name}` }
  const loader = pick(filesThere(files, loaders), arch)
  if (loader === undefined) {
    const missing = files.length === 1 ? `${files[0]} is not` : `none of ${files.join(', ')} is`
    return { why: `there is no boot file for ${name}: ${missing} among the loaders` }
  }
  const file = isHttpBoot(request.options) ? client.loaderUrl + loader : loader
  if (files[0] !== SHIM_LOADER || isThere(SHIM_LOADER, loaders)) return { file }
  const missing = loaders.has(SHIM_LOADER) ? GRUB_LOADER : SHIM_LOADER
  return { file, why: `Secure Boot refuses ${loader}: ${missing} is not among the loaders of boot.loaders` }
}

/** For the files of each firmware, found once: a request is answered with no look at every loader. */
const thereOf = new WeakMap<ReadonlySet<string>, WeakMap<readonly string[], readonly string[]>>()

function filesThere(files: readonly string[], loaders: ReadonlySet<string>): readonly string[] {
  const known = thereOf.get(loaders) ?? new WeakMap<readonly string[], readonly string[]>()
  const before = known.get(files)
  if (before) return before
  const there = files.filter((file) => isThere(file, loaders))
  thereOf.set(loaders, known.set(files, there))
  return there
}

/** shim without the GRUB that it loads boots nothing. */
const isThere = (file: string, loaders: ReadonlySet<string>): boolean =>
  loaders.has(file) && (file !== SHIM_LOADER || loaders.has(GRUB_LOADER))
