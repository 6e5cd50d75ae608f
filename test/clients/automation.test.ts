/** What Ansible's modules, Bifrost and metalsmith ask through openstacksdk, on fake hardware; the programs themselves
 *  run in `npm run test:clients`. */
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startConductor, type Conductor } from '../../conductor/conductor.ts'
import { Config, devConfig } from '../../conductor/config.ts'
import { silentLog } from '../../kit/log.ts'
import { run } from '../../kit/run.ts'
import { ROOT } from '../lab/root.ts'
import { PYTHON } from './cli.ts'

let dir = ''
let web: Server
let drives = ''
const asked: string[] = []
let conductor: Conductor
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-automation-'))
  const iso = gzipSync(volume('config-2')).toString('base64')
  web = createServer((request, response) => {
    asked.push(request.url ?? '')
    response.end(iso)
  })
  await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', resolve))
  drives = `http://127.0.0.1:${(web.address() as AddressInfo).port}/`
  const plain = devConfig({ port: 0, data: dir })
  const config = Config.parse({
    data: dir,
    images: plain.images,
    api: { listen: [{ address: '127.0.0.1', port: 0 }], auth: { strategy: 'noauth' } },
    fake: { delaySeconds: 0.02 },
    provision: { configDriveUrls: [drives] },
  })
  conductor = await startConductor(config, { log: silentLog })
})
afterAll(async () => {
  await conductor?.stop()
  web?.close().closeAllConnections()
  await rm(dir, { recursive: true })
})

/** The first sectors of an ISO 9660 volume. */
function volume(label: string): Buffer {
  const image = Buffer.alloc(40_960)
  image.write('\x01CD001\x01', 32_768, 'latin1')
  image.write(label.padEnd(32), 32_808, 'latin1')
  return image
}

async function checks(scenario: string, ...more: string[]): Promise<{ name: string; result: string; why?: string }[]> {
  const argv = [PYTHON, '-W', 'ignore', join(ROOT, 'test/clients/automation.py'), scenario]
  const { stdout, stderr } = await run([...argv, conductor.addresses[0] as string, ...more], { timeoutMs: 55_000 })
  if (stdout === '') throw new Error(stderr)
  return JSON.parse(stdout) as { name: string; result: string }[]
}
const failed = (all: Awaited<ReturnType<typeof checks>>) => all.filter(({ result }) => result !== 'passed')

test('Ansible’s modules and Bifrost: a node’s life, with the URL of a config drive', async () => {
  const all = await checks('ansible', `${drives}configdrive-auto-1.iso.gz`)
  expect([failed(all), all.length]).toEqual([[], 9])
  expect(asked).toEqual(['/configdrive-auto-1.iso.gz'])
})

test('metalsmith: deploy, list and undeploy, beside an instance that nobody reserved', async () => {
  const all = await checks('metalsmith')
  expect([failed(all), all.length]).toEqual([[], 7])
})
