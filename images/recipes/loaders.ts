/** iPXE's loaders, as new as Debian has them: those of Debian 12 are of 2019 and wait 17 s for an IPv6 router in each boot. */
import { copyFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { debootstrap, sourcesOf } from './apt.ts'
import { cached, cacheKey } from './cache.ts'

/** The release whose iPXE is taken. It runs on servers alone, so the release of this machine does not matter. */
const SUITE = 'trixie'
/** Name in the package `ipxe` -> name that is served (pxe/firmware.ts). */
export const LOADER_FILES: Readonly<Record<string, string>> = {
  'undionly.kpxe': 'undionly.kpxe',
  'ipxe.pxe': 'ipxe.pxe',
  'snponly.efi': 'snponly.efi',
  'ipxe.efi': 'ipxe.efi',
  'ipxe-arm64.efi': 'ipxe-arm64.efi',
}

/** Answers the directory that holds them. Throws when the package cannot be fetched. */
export async function buildLoaders(opts: {
  cacheDir: string
  say: (line: string) => void
  force?: boolean
}): Promise<string> {
  const key = cacheKey([SUITE, JSON.stringify(LOADER_FILES)])
  const place = { root: opts.cacheDir, name: 'loaders', key, ...(opts.force ? { force: true } : {}) }
  const { path } = await cached(place, async (scratch) => {
    const tree = join(scratch, 'tree')
    const sources = await sourcesOf(SUITE)
    await debootstrap({ suite: SUITE, variant: 'extract', packages: ['ipxe'], target: tree, sources, say: opts.say })
    for (const [from, to] of Object.entries(LOADER_FILES))
      await copyFile(join(tree, 'usr/lib/ipxe', from), join(scratch, to))
    await rm(tree, { recursive: true })
  })
  return path
}
