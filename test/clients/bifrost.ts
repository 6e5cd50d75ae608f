/** Bifrost: what its playbooks ask (test/clients/bifrost), with config drives behind URLs; and with `--bifrost DIR` the
 *  playbooks of a checkout themselves. */
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { ROOT } from '../lab/root.ts'
import { debianRoot, versionsOf, type DebianRoot } from './debian-root.ts'
import type { Ground } from './ground.ts'
import { runPlaybook } from './playbook.ts'
import type { Check } from './report.ts'

const PLAYBOOK_LIMIT_MS = 10 * 60_000
const IMAGE_SHA256 = '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08'
const MACHINES = '/lent/ours/baremetal.yml'

interface Run {
  readonly ground: Ground
  readonly root: DebianRoot
  readonly work: string
}

export async function bifrost(
  ground: Ground,
  say: (line: string) => void,
  asked: { readonly bifrost: string | undefined },
): Promise<{ versions: string; checks: Check[] }> {
  const run: Run = { ground, root: await debianRoot(say), work: await ground.workOf('bifrost') }
  const checks = await ours(run)
  const versions = await versionsOf(run.root, run.work)
  if (asked.bifrost === undefined) return { versions: `playbooks of ours; ${versions}`, checks }
  return {
    versions: `playbooks of ours, and those of ${asked.bifrost}; ${versions}`,
    checks: [...checks, ...(await theirs(run, asked.bifrost))],
  }
}

/** Our playbooks, with a password, as Bifrost's installation sets it up. */
async function ours({ ground, root, work }: Run): Promise<Check[]> {
  const { url, user, password } = ground.basic
  await writeCloud(work, { auth_type: 'http_basic', auth: { endpoint: url, username: user, password } })
  const at = {
    work,
    timeoutMs: PLAYBOOK_LIMIT_MS,
    lend: { ours: join(ROOT, 'test/clients/bifrost') },
    env: { BIFROST_INVENTORY_SOURCE: MACHINES },
  }
  const checks: Check[] = []
  for (const name of ['enroll', 'deploy', 'redeploy']) {
    const variables = { web: ground.web.url, image_checksum: IMAGE_SHA256 }
    const book = { title: name, path: `/lent/ours/${name}.yml`, inventory: '/lent/ours/inventory.py', variables }
    checks.push(...(await runPlaybook(root, book, at)))
    await ground.givePower('basic')
  }
  return [...checks, fetched(ground)]
}

/** The real ones, without a password, in a checkout that is only read. */
async function theirs({ ground, root, work }: Run, dir: string): Promise<Check[]> {
  if (!existsSync(join(dir, 'playbooks/enroll-dynamic.yaml')))
    throw new Error(`--bifrost ${dir}: no checkout of Bifrost`)
  await writeCloud(work, { auth_type: 'none', auth: { endpoint: ground.noauth } })
  const variables = {
    network_interface: 'lo',
    file_url_port: new URL(ground.web.url).port,
    http_boot_folder: '/work/web',
    bifrost_venv_dir: '/usr',
    deploy_image_checksum: IMAGE_SHA256,
    provision_state_retry_interval: 1,
  }
  const books = [
    ['enroll-dynamic', 'rack-u01,rack-u02,rack-u03'],
    ['deploy-dynamic', 'rack-u01,rack-u02,rack-u03'],
    // Bifrost passes an empty UUID of a machine that has none in the inventory, which names no node.
    ['redeploy-dynamic', 'rack-u01,rack-u02'],
  ] as const

  const checks: Check[] = []
  for (const [name, machines] of books) {
    const book = {
      title: `Bifrost’s ${name}`,
      path: `/lent/bifrost/playbooks/${name}.yaml`,
      inventory: '/lent/bifrost/playbooks/inventory/bifrost_inventory.py',
      variables,
    }
    checks.push(
      ...(await runPlaybook(root, book, {
        work,
        timeoutMs: PLAYBOOK_LIMIT_MS,
        lend: { ours: join(ROOT, 'test/clients/bifrost'), bifrost: dir },
        env: { BIFROST_INVENTORY_SOURCE: MACHINES, BIFROST_NODE_NAMES: machines, OS_CLOUD: 'bifrost' },
      })),
    )
    await ground.givePower('noauth')
  }
  return checks
}

/** The conductor asked Bifrost's web server for every config drive that lies there. */
function fetched(ground: Ground): Check {
  const drives = ground.web.asked().filter((path) => path.endsWith('.iso.gz'))
  const machines = new Set(drives).size
  return machines === 3
    ? { name: 'config drives are fetched by the conductor', result: 'passed' }
    : { name: 'config drives are fetched by the conductor', result: 'failed', why: `asked for: ${drives.join(', ')}` }
}

/** Bifrost takes the first entry there is. */
async function writeCloud(work: string, cloud: object): Promise<void> {
  await mkdir(join(work, 'web'), { recursive: true })
  // Bifrost looks for a key there, whatever it is told.
  await mkdir(join(work, '.ssh'), { recursive: true })
  await writeFile(join(work, '.ssh/id_ed25519.pub'), 'ssh-ed25519 AAAA\n')
  await writeFile(join(work, 'clouds.yaml'), stringify({ clouds: { bifrost: cloud } }), { mode: 0o600 })
}
