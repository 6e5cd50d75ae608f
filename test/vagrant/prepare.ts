/** `npm run vagrant`: lays out dist/vagrant, which the conductor's machine of the Vagrant rack finds as /rackward, and
 *  makes a box of it that needs no download. */
import { existsSync } from 'node:fs'
import { cp, mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { debianFor } from '../../cli/image-debian.ts'
import { defaultCache, meshExtras, packagesFor, ramdiskFor, vagrantBox } from '../../cli/image.ts'
import { runOk } from '../../kit/run.ts'
import { ROOT } from '../lab/root.ts'

const TIMEOUT_MS = 10 * 60_000
export const BOX = 'rackward/bookworm'
const SHARE = join(ROOT, 'dist/vagrant')
const say = (line: string) => void process.stderr.write(`${line}\n`)

export async function prepare(options: { box: boolean }): Promise<void> {
  const cache = defaultCache()
  const ramdisk = await ramdiskFor(cache, say)
  const store = join(cache, 'images')
  const extras = await meshExtras(cache, say)
  const image = await debianFor(store, cache, { say, extras, name: 'debian-12-mesh' })
  const known = existsSync(join(SHARE, 'box-added'))
  await rm(SHARE, { recursive: true, force: true })
  for (const name of ['packages', 'ramdisk', 'store']) await mkdir(join(SHARE, name), { recursive: true })
  await packagesFor(join(SHARE, 'packages'), say)
  await cp(ramdisk.kernel, join(SHARE, 'ramdisk/kernel'))
  await cp(ramdisk.initrd, join(SHARE, 'ramdisk/initrd'))
  if (ramdisk.iso) await cp(ramdisk.iso, join(SHARE, 'ramdisk/boot.iso'))
  await cp(join(store, image.id), join(SHARE, 'store', image.id), { recursive: true })
  for (const name of ['rack.yaml', 'rack-redfish.yaml']) await cp(join(ROOT, 'vagrant', name), join(SHARE, name))
  await cp(process.env.RACKWARD_CONSUL ?? '/usr/bin/consul', join(SHARE, 'consul'))
  await bundle('test/lab/ha/practice.ts', 'practice.mjs')
  await bundle('test/vagrant/redfish-bmcs.ts', 'redfish-bmcs.mjs')
  // The user of QEMU's processes reads it through 9p.
  await runOk(['chmod', '-R', 'a+rX', SHARE], { timeoutMs: TIMEOUT_MS })
  if (!options.box) return known ? writeFile(join(SHARE, 'box-added'), `${BOX}\n`) : undefined
  const box = await vagrantBox(SHARE, cache, say)
  say(`adding the box ${BOX} to Vagrant`)
  await runOk(['vagrant', 'box', 'add', '--force', '--name', BOX, box], { timeoutMs: TIMEOUT_MS })
  await rm(box)
  await writeFile(join(SHARE, 'box-added'), `${BOX}\n`)
}

/** A program of one file. */
async function bundle(source: string, name: string): Promise<void> {
  const banner =
    "import { createRequire as makeRequire } from 'node:module'; const require = makeRequire(import.meta.url);"
  const options = ['--bundle', '--format=esm', '--platform=node', '--target=node20', '--log-level=warning']
  await runOk(
    [
      join(ROOT, 'node_modules/.bin/esbuild'),
      join(ROOT, source),
      ...options,
      `--banner:js=${banner}`,
      `--outfile=${join(SHARE, name)}`,
    ],
    { timeoutMs: TIMEOUT_MS },
  )
}
