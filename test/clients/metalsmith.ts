/** metalsmith: the calls that it makes, by Debian 13's openstacksdk; and with `--metalsmith DIR` the program of a
 *  checkout itself (Debian has no package of it). */
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { z } from 'zod'
import { ROOT } from '../lab/root.ts'
import { debianRoot, versionsOf, type DebianRoot } from './debian-root.ts'
import type { Ground } from './ground.ts'
import type { Check } from './report.ts'

const COMMAND_LIMIT_MS = 3 * 60_000
const IMAGE = 'http://192.0.2.1/image.raw'
const IMAGE_SHA256 = '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08'

const Checks = z.array(z.object({ name: z.string(), result: z.enum(['passed', 'failed']), why: z.string().optional() }))

export async function metalsmith(
  ground: Ground,
  say: (line: string) => void,
  asked: { readonly metalsmith: string | undefined },
): Promise<{ versions: string; checks: readonly Check[] }> {
  const root = await debianRoot(say)
  const work = await ground.workOf('metalsmith')
  const { stdout, stderr } = await root.run(['python3', '/lent/clients/automation.py', 'metalsmith', ground.noauth], {
    work,
    timeoutMs: COMMAND_LIMIT_MS,
    lend: { clients: join(ROOT, 'test/clients') },
  })
  if (stdout === '') throw new Error(stderr.slice(-600))
  const checks: readonly Check[] = Checks.parse(JSON.parse(stdout)).map(({ name, result, why }) => ({
    name: `calls: ${name}`,
    result,
    ...(why === undefined ? {} : { why }),
  }))

  const versions = `its calls by ${await versionsOf(root, work)}`
  if (asked.metalsmith === undefined) return { versions, checks }
  return {
    versions: `${versions}; the program of ${asked.metalsmith}`,
    checks: [...checks, ...(await program({ root, work, ground }, asked.metalsmith))],
  }
}

/** deploy, list and undeploy by the command line. metalsmith asks Neutron for the ports of a machine even without
 *  networks: one that has none answers. */
async function program(at: { root: DebianRoot; work: string; ground: Ground }, dir: string): Promise<Check[]> {
  if (!existsSync(join(dir, 'metalsmith/_cmd.py'))) throw new Error(`--metalsmith ${dir}: no checkout of metalsmith`)
  await at.ground.makeFree('smith-cli', 'smithcli')
  const neutron = createServer(({ headers }, response) => {
    const self = { rel: 'self', href: `http://${headers.host}/v2.0/` }
    const versions = [{ id: 'v2.0', status: 'CURRENT', links: [self] }]
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ versions, ports: [] }))
  })
  await new Promise<void>((resolve) => neutron.listen(0, '127.0.0.1', resolve))
  const networks = `http://127.0.0.1:${(neutron.address() as AddressInfo).port}/v2.0`
  const cloud = {
    auth_type: 'none',
    baremetal_endpoint_override: at.ground.noauth,
    network_endpoint_override: networks,
  }
  await writeFile(join(at.work, 'clouds.yaml'), stringify({ clouds: { smith: cloud } }))

  const command = async (name: string, args: readonly string[], expected: RegExp): Promise<Check> => {
    const argv = ['python3', '-c', 'import sys; from metalsmith._cmd import main; main(sys.argv[1:])', ...args]
    const { code, stdout, stderr } = await at.root.run(argv, {
      work: at.work,
      timeoutMs: COMMAND_LIMIT_MS,
      lend: { metalsmith: dir },
      env: {
        PYTHONPATH: '/lent/metalsmith',
        PBR_VERSION: '0',
        OS_CLOUD: 'smith',
        OS_CLIENT_CONFIG_FILE: '/work/clouds.yaml',
      },
    })
    const right = code === 0 && expected.test(stdout)
    return right
      ? { name: `metalsmith ${name}`, result: 'passed' }
      : {
          name: `metalsmith ${name}`,
          result: 'failed',
          why: `status ${code}: ${stderr.slice(-400)} ${stdout.slice(-200)}`,
        }
  }

  const image = ['--image', IMAGE, '--image-checksum', IMAGE_SHA256]
  const checks = [
    await command(
      'deploy',
      ['-f', 'json', 'deploy', '--resource-class', 'smithcli', ...image, '--hostname', 'web-2'],
      /web-2/,
    ),
    await command('list', ['-f', 'json', 'list'], /web-2/),
    await command('undeploy', ['-f', 'json', 'undeploy', '--wait', '120', 'web-2'], /smith-cli/),
  ]
  neutron.close().closeAllConnections()
  return checks
}
