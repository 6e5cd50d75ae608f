/** What every test on the rack needs: the ramdisk, images, a rack of its own that is gone afterwards, whatever
 *  happens. */
import { randomBytes } from 'node:crypto'
import { mkdir, open, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { debianFor } from '../../cli/image-debian.ts'
import { defaultCache, loadersFor, ramdiskFor } from '../../cli/image.ts'
import type { Architecture } from '../../kit/architecture.ts'
import { importImage } from '../../images/import.ts'
import { ImageStore } from '../../images/store.ts'
import { run, runOk } from '../../kit/run.ts'
import { chooseAccel } from '../lab/accel.ts'
import { RackConductor, type ConductorOptions } from '../lab/conductor.ts'
import { ROOT } from '../lab/root.ts'
import { CONDUCTOR_IP, Rack, removeRack } from '../lab/rack.ts'
import type { Server } from '../lab/server.ts'
import { sh } from '../lab/shell.ts'
import { siteCa } from '../kit/site-ca.ts'

const MIB = 1024 * 1024
const say = (line: string) => void process.stderr.write(`  ${line}\n`)

export interface Bench {
  readonly rack: Rack
  readonly conductor: RackConductor
  readonly store: ImageStore
  /** The kernel of the deploy ramdisk. */
  readonly kernel: string
}

/** `name` is short: it becomes part of a namespace's name. */
export async function openBench(
  name: string,
  provision: Record<string, number>,
  more: Pick<ConductorOptions, 'dhcp' | 'ramdisks'> & { readonly uki?: true; readonly https?: true } = {},
): Promise<Bench> {
  const cache = defaultCache()
  const ramdisk = await ramdiskFor(cache, say, { agentFile: join(ROOT, 'dist/agent.cjs') })
  const rackName = `${name}-${process.pid}`
  const dir = `/var/tmp/rackward-${rackName}`
  await removeRack(`rackward-${rackName}`, dir)
  const rack = new Rack(rackName, dir, await chooseAccel(ramdisk.kernel))
  await rack.up()
  await sh(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', 'rackward-test', '-f', join(dir, 'id_ed25519')])
  const options: ConductorOptions = {
    imageStore: join(dir, 'images'),
    kernel: ramdisk.kernel,
    initrd: ramdisk.initrd,
    loaders: await loadersFor(cache, say),
    rescueInitrd: ramdisk.rescueInitrd,
    ...(ramdisk.iso ? { iso: ramdisk.iso } : {}),
    ...(more.dhcp === undefined ? {} : { dhcp: more.dhcp }),
    ...(more.ramdisks ? { ramdisks: more.ramdisks } : {}),
    ...(more.https ? { bootHttps: await ownCertificate(dir) } : {}),
    ...(more.uki ? { uki: join(dir, 'uki.efi') } : {}),
    provision,
  }
  const store = new ImageStore(options.imageStore)
  const conductor = await RackConductor.make(rack, options)
  return { rack, conductor, store, kernel: ramdisk.kernel }
}

/** Of an RSA key, which all firmware takes. */
async function ownCertificate(dir: string): Promise<{ port: number; cert: string; key: string }> {
  const names = [`IP:${CONDUCTOR_IP}`]
  const authority = await siteCa(dir)
  const pair = await authority.sign(names.join(','))
  await writeFile(join(dir, 'authority.crt'), authority.cert)
  const paths = { cert: join(dir, 'boot.crt'), key: join(dir, 'boot.key') }
  await writeFile(paths.cert, pair.cert)
  await writeFile(paths.key, pair.key, { mode: 0o600 })
  return { port: 8443, ...paths }
}

/** The deploy ramdisk for arm64 servers, as the configuration names it. */
export async function arm64Ramdisk(): Promise<{ kernel: string; initrd: string; rescueInitrd: string }> {
  const agentFile = join(ROOT, 'dist/agent.cjs')
  const { kernel, initrd, rescueInitrd } = await ramdiskFor(defaultCache(), say, { agentFile, architecture: 'aarch64' })
  return { kernel, initrd, rescueInitrd }
}

/** The lab's Debian, in the rack's own store (as a link of the files, which are big). */
export async function useDebian({ store }: Bench, architecture: Architecture = 'x86_64'): Promise<string> {
  const cache = defaultCache()
  const image = await debianFor(join(cache, 'images'), cache, { say, architecture })
  await mkdir(store.root, { recursive: true })
  await sh(['cp', '-r', '--reflink=auto', join(cache, 'images', image.id), store.root])
  return image.id
}

/** A whole-disk image without an operating system: a GPT, `dataMib` of data that does not compress, and holes. */
export async function useTiny(
  { rack, store }: Bench,
  name: string,
  sizes: { dataMib: number; totalMib: number },
): Promise<string> {
  const path = join(rack.dir, `${name}.raw`)
  const file = await open(path, 'w')
  await file.truncate(sizes.totalMib * MIB)
  for (let at = 0; at < sizes.dataMib; at += 1) await file.write(randomBytes(MIB), 0, MIB, (8 + at) * MIB)
  await file.close()
  await runOk(['sfdisk', '--quiet', '--label', 'gpt', path], {
    timeoutMs: 10_000,
    input: 'start=4MiB, size=2MiB, type=U\nstart=8MiB, type=L\n',
  })
  const image = await importImage(store, { source: path, name })
  await rm(path)
  return image.id
}

/** What a command says on a deployed Debian; empty while there is no login. */
export async function onServer(rack: Rack, address: string, command: string): Promise<string> {
  const options = ['StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'ConnectTimeout=5']
  const ssh = ['ssh', '-i', join(rack.dir, 'id_ed25519'), ...options.flatMap((option) => ['-o', option])]
  const done = await run(rack.in([...ssh, `debian@${address}`, command]), { timeoutMs: 30_000 })
  return done.stdout.trim()
}

/** The first bytes of a disk file, which may be bigger than one read can take. */
export async function headOf(path: string, bytes: number): Promise<Buffer> {
  const file = await open(path)
  try {
    const head = Buffer.alloc(bytes)
    await file.read(head, 0, bytes, 0)
    return head
  } finally {
    await file.close()
  }
}

/** How often a server was switched on that was off. */
export const starts = async ({ dir }: Pick<Server, 'dir'>): Promise<number> =>
  (await readFile(join(dir, 'starts.log'), 'utf8')).split('\n').filter((line) => line !== '').length
