/** Is what nodes boot from there, how old are iPXE's loaders, and does the boot ISO boot with Secure Boot on? */
import { createHash } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { hasSignedIso } from '../../images/signed-iso.ts'
import type { Run } from '../../kit/run.ts'
import { LOADER_TABLE, LOADERS } from '../../pxe/firmware.ts'
import type { BootConfig, Config } from '../config.ts'
import { allRamdisks } from '../boot/ramdisks.ts'
import { bad, ok, unseen, warn, type Finding } from './finding.ts'

/** "git-20190125", "git20250501": the day of the commit that a loader was built from. Compressed loaders (undionly) do
 *  not show it. */
const BUILT = /git-?(20\d\d)(\d\d)(\d\d)\./
/** From then on iPXE asks for autoexec.ipxe, which ends its wait for IPv6 routers. */
const AUTOEXEC_SINCE = '2023-02-01'
const TIMEOUT_MS = 5_000
const BUILD_RAMDISK = 'rackward image build ramdisk'
const BUILD = 'rackward image build loaders, and name its directory in boot.loaders'

export async function bootFiles(config: Config, run: Run): Promise<Finding[]> {
  if (!config.boot)
    return [
      unseen(
        'boot files',
        'no boot section: this conductor boots nothing',
        'to boot servers, add agent and boot (docs/configuration.md), or make a new configuration with rackward init',
      ),
    ]
  const { iso, loaders } = config.boot
  const files = allRamdisks(config.boot).flatMap(({ kernel, initrd, rescueInitrd }) => [kernel, initrd, rescueInitrd])
  const wanted: [path: string, remedy: string][] = [
    ...[...files, iso].flatMap((path): [string, string][] => (path ? [[path, ramdiskRemedy(path, config.data)]] : [])),
    ...LOADERS.map((name): [string, string] => [join(loaders, name), `apt-get install ipxe, or ${BUILD}`]),
  ]
  const findings: Finding[] = []
  for (const [path, remedy] of wanted)
    await stat(path).catch((error: NodeJS.ErrnoException) =>
      findings.push(bad('boot files', `${path}: ${error.code === 'ENOENT' ? 'is not there' : error.message}`, remedy)),
    )
  if (findings.length > 0) return findings
  return [
    ok('boot files', 'kernel, ramdisk and loaders are there'),
    ...(await loaderAges(loaders)),
    ...(iso === undefined ? [] : [await bootIso(iso)]),
    ...(await routerAdvertisements(config.boot, run)),
  ]
}

/** A path through a link, as `rackward init` names it, is wanted again; one into the cache has the hash of a build. */
const ramdiskRemedy = (path: string, data: string): string =>
  /-[0-9a-f]{20}$/.test(dirname(path)) ? BUILD_RAMDISK : `${BUILD_RAMDISK} --cache ${data} --link ${dirname(path)}`

/** One finding for each loader that is there: its build, where it says so, and its hash. */
async function loaderAges(dir: string): Promise<Finding[]> {
  const findings: Finding[] = []
  for (const { file, what } of LOADER_TABLE) {
    const bytes = await readFile(join(dir, file)).catch(() => undefined)
    if (bytes === undefined) continue
    const built = BUILT.exec(bytes.toString('latin1'))?.slice(1).join('-')
    const digest = createHash('sha256').update(bytes).digest('hex').slice(0, 16)
    const says = `${join(dir, file)}: ${what}, ${built ? `of ${built}` : 'which does not say how old it is'}, sha256 ${digest}...`
    findings.push(
      built !== undefined && built < AUTOEXEC_SINCE
        ? warn('loaders', `${says}; it waits up to 17 s for an IPv6 router in each boot`, BUILD)
        : ok('loaders', says),
    )
  }
  return findings
}

async function bootIso(path: string): Promise<Finding> {
  const isSigned = await hasSignedIso(path).catch(() => undefined)
  return isSigned
    ? ok('boot ISO', `${path}: its loader for UEFI is signed, and boots with Secure Boot on and off`)
    : warn(
        'boot ISO',
        `${path}: it has no signed loader for UEFI, so that Secure Boot is switched off for each boot of it`,
        BUILD_RAMDISK,
      )
}

async function routerAdvertisements({ routerAdvertisements: wanted }: BootConfig, run: Run): Promise<Finding[]> {
  if (!wanted) return []
  const { code } = await run(['sh', '-c', 'command -v radvd >/dev/null'], { timeoutMs: TIMEOUT_MS })
  return code === 0
    ? []
    : [bad('router advertisements', 'boot.routerAdvertisements is true and there is no radvd', 'apt-get install radvd')]
}
