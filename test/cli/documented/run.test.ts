/** Commands of the documents are run as they stand there, by bash, against a real conductor with servers of fake
 *  hardware, one behind a Redfish BMC, and a mesh in memory: only what is the reader's own is put in. */
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { until } from '../../../kit/clock.ts'
import { run } from '../../../kit/run.ts'
import { RACKWARD_MAIN, ROOT } from '../../lab/root.ts'
import { Bench } from '../../masakari/bench.ts'
import { SimulatedMachine } from '../../redfish/machine.ts'
import { VirtualBmc } from '../../redfish/virtual-bmc.ts'
import { LANES, type Run } from './commands.ts'

const ENDLESS_S = 3
let bench: Bench
let bmc: VirtualBmc<SimulatedMachine>
let dir = ''
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-documents-'))
  await mkdir(join(dir, 'bin'))
  await writeFile(join(dir, 'bin/rackward'), `#!/bin/sh\nexec ${process.execPath} ${RACKWARD_MAIN} "$@"\n`, {
    mode: 0o755,
  })
  bmc = await VirtualBmc.open({ machine: new SimulatedMachine() })
  bench = await Bench.start({
    fake: { delaySeconds: 0.01 },
    provision: { bmcLookSeconds: 0.2, mediaUrls: ['http://192.0.2.9/images/'] },
    powerSync: { everySeconds: 1 },
  })
  await makeNode('u07', { driver: 'redfish', driver_info: bmc.driverInfo(), inspect_interface: 'redfish' }, ['manage'])
  await makeNode('web-1', { driver: 'fake-hardware', resource_class: 'compute' }, ['manage', 'provide', 'active'])
}, 120_000)
afterAll(async () => {
  await bench?.stop()
  await bmc?.stop()
  await rm(dir, { recursive: true, force: true })
})

const RESTS: Readonly<Record<string, string>> = { manage: 'manageable', provide: 'available', active: 'active' }
async function makeNode(name: string, body: object, verbs: readonly string[]): Promise<void> {
  await bench.api('POST', '/v1/nodes', { name, ...body })
  for (const target of verbs) {
    await bench.api('PUT', `/v1/nodes/${name}/states/provision`, { target })
    const rests = async () => {
      const { body: node } = await bench.api('GET', `/v1/nodes/${name}`)
      return node.provision_state === RESTS[target] && node.reservation === null
    }
    await until(rests, { what: `${name} ${RESTS[target]}`, timeoutMs: 60_000, everyMs: 50 })
  }
}

const filledIn = ({ command, put = {} }: Run): string =>
  Object.entries(put).reduce((text, [word, meant]) => text.replaceAll(word, meant), command)

async function outcomeOf(step: Run, cwd: string) {
  const command = filledIn(step)
  const line = step.isEndless ? `timeout -s INT ${ENDLESS_S} ${command} < /dev/null` : command
  const { code, stdout, stderr } = await run(
    ['bash', '-c', `set -e\nPATH=${dir}/bin:$PATH\n${step.before ?? ''}\n${line}`],
    {
      cwd,
      timeoutMs: 60_000,
      env: {
        HOME: dir,
        OS_CLOUD: '',
        OS_ENDPOINT: '',
        RACKWARD_SERVER: bench.base,
        RACKWARD_USER: 'admin',
        RACKWARD_PASSWORD: 'admin-password',
        IMPORTS: join(ROOT, 'test/cli/rack/imports'),
        IMAGES: join(dir, 'images'),
      },
    },
  )
  const statuses = step.isEndless ? [0, 124, 130] : [step.status ?? 0]
  const said = `${stdout}${stderr}`
  if (!statuses.includes(code ?? -1)) return `${command}: ended with ${code}: ${said}`
  return step.prints === undefined || step.prints.test(said) ? 'as documented' : `${command}: printed ${said}`
}

describe.concurrent('each command of the documents does what it says', () => {
  test.each(Object.entries(LANES))('%s', { timeout: 240_000 }, async (lane, steps) => {
    const cwd = join(dir, `in-${lane}`)
    await mkdir(cwd)
    await copyFile(join(ROOT, 'docs/examples/fake-rack.yaml'), join(cwd, 'rack.yaml'))
    const wrong: string[] = []
    for (const step of steps) {
      const outcome = await outcomeOf(step, cwd)
      if (outcome !== 'as documented') wrong.push(outcome)
    }
    expect(wrong).toEqual([])
  })
})
