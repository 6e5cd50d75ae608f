/** Commands of the documents are run as they stand there, by bash, against a real conductor with servers of fake
 *  hardware, one behind a Redfish BMC, and a mesh in memory: only what is the reader's own is put in. */
import { createHash } from 'node:crypto'
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { until } from '../../../kit/clock.ts'
import { RACKWARD_MAIN, ROOT } from '../../lab/root.ts'
import { Bench } from '../../masakari/bench.ts'
import { SimulatedMachine } from '../../redfish/machine.ts'
import { VirtualBmc } from '../../redfish/virtual-bmc.ts'
import { LANES } from './commands.ts'
import type { Run } from './run-step.ts'
import { bash, endless, type Place } from './shell.ts'

const FIRMWARE = 'BIOS 2.2.0'
/** A request as the README writes it: METHOD PATH JSON. */
const REQUEST = /^(GET|POST|PUT|PATCH) (\S+) ?(.*)$/
const CURL = `#!/bin/sh
exec curl -sS --fail-with-body -u "$RACKWARD_USER:$RACKWARD_PASSWORD" -X "$(basename "$0")" \
  -H 'OpenStack-API-Version: baremetal latest' -H 'content-type: application/json' \
  "$RACKWARD_SERVER$1" \${2:+--data "$2"}
`
let bench: Bench
let bmc: VirtualBmc<SimulatedMachine>
let vendor: Server
let vendorUrl = ''
let dir = ''
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-documents-'))
  await mkdir(join(dir, 'bin'))
  await writeFile(join(dir, 'bin/rackward'), `#!/bin/sh\nexec ${process.execPath} ${RACKWARD_MAIN} "$@"\n`, {
    mode: 0o755,
  })
  for (const method of ['GET', 'POST', 'PUT', 'PATCH']) await writeFile(join(dir, 'bin', method), CURL, { mode: 0o755 })
  vendor = createServer((_, response) => void response.end(FIRMWARE))
  await new Promise<void>((resolve) => vendor.listen(0, '127.0.0.1', resolve))
  vendorUrl = `http://127.0.0.1:${(vendor.address() as AddressInfo).port}`
  bmc = await VirtualBmc.open({ machine: new SimulatedMachine() })
  bench = await Bench.start({
    fake: { delaySeconds: 0.01 },
    firmware: { listen: { address: '127.0.0.1', port: 0 }, sources: [vendorUrl] },
    provision: { bmcLookSeconds: 0.2, mediaUrls: ['http://192.0.2.9/images/'] },
    powerSync: { everySeconds: 1 },
  })
  const leads = async () => (await bench.api('GET', '/rackward/v1/mesh')).status === 200
  await until(leads, { what: 'the mesh to have a leader', timeoutMs: 60_000, everyMs: 50 })
  await makeNode('u07', { driver: 'redfish', driver_info: bmc.driverInfo(), inspect_interface: 'redfish' }, ['manage'])
  await makeNode('web-1', { driver: 'fake-hardware', resource_class: 'compute' }, ['manage', 'provide', 'active'])
  const fake = { driver: 'fake-hardware' }
  await makeNode('spare-1', fake, [])
  // For `--class compute`, whatever the other lanes have at that moment.
  await makeNode('spare-2', { ...fake, resource_class: 'compute' }, ['manage', 'provide'])
  await makeNode('held', fake, ['manage'])
  await makeNode('follows', fake, ['manage', 'provide'])
}, 120_000)
afterAll(async () => {
  await bench?.stop()
  await bmc?.stop()
  vendor?.close()
  await rm(dir, { recursive: true, force: true })
})

const RESTS: Readonly<Record<string, string>> = {
  manage: 'manageable',
  inspect: 'manageable',
  provide: 'available',
  active: 'active',
}
async function makeNode(name: string, body: object, verbs: readonly string[]): Promise<void> {
  await bench.api('POST', '/v1/nodes', { name, ...body })
  for (const target of verbs) await provision(`/v1/nodes/${name}/states/provision`, { target })
}

/** Until the node is where it was sent. */
async function provision(path: string, body: { readonly target: string }): Promise<void> {
  const { status, body: said } = await bench.api('PUT', path, body)
  if (status !== 202) throw new Error(`${body.target}: ${status} ${JSON.stringify(said)}`)
  const rests = async () => {
    const { body: node } = await bench.api('GET', path.replace('/states/provision', ''))
    if (node.last_error) throw new Error(`${body.target}: ${node.last_error}`)
    return node.provision_state === RESTS[body.target] && node.reservation === null
  }
  await until(rests, { what: `${path} ${body.target}`, timeoutMs: 60_000, everyMs: 50 })
}

const filledIn = ({ command, put = {} }: Run): string =>
  Object.entries(put).reduce((text, [word, meant]) => text.replaceAll(word, meant), command)

const placeOf = (lane: string): Place => ({
  cwd: join(dir, `in-${lane}`),
  env: {
    PATH: `${join(dir, 'bin')}:${process.env.PATH}`,
    HOME: dir,
    OS_CLOUD: '',
    OS_ENDPOINT: '',
    RACKWARD_SERVER: bench.base,
    RACKWARD_USER: 'admin',
    RACKWARD_PASSWORD: 'admin-password',
    SOCKET: bench.socket,
    BMC: new URL(bmc.origin).host,
    VENDOR: vendorUrl,
    FIRMWARE_SHA256: createHash('sha256').update(FIRMWARE).digest('hex'),
    IMPORTS: join(ROOT, 'test/cli/rack/imports'),
    IMAGES: join(dir, 'images'),
    CONDUCTOR_IMAGES: bench.images,
  },
})

/** For bash. What is asked of a server with further targets behind "then" is sent here, one after the other. */
async function shellOf(command: string): Promise<string> {
  const [, method, path = '', rest = ''] = REQUEST.exec(command) ?? []
  if (method === undefined) return command
  if (!path.endsWith('/states/provision')) return `${method} ${path} "${rest.replaceAll(/["\\`]/g, '\\$&')}"`
  const [first = '', ...others] = rest.split(', then ')
  const body = JSON.parse(first) as { target: string }
  for (const target of [body.target, ...others.map((one) => String(JSON.parse(one)))])
    await provision(path, { ...body, target })
  return ':'
}

/** Undefined: as documented. */
async function wrongOf(step: Run, lane: string): Promise<string | undefined> {
  const command = filledIn(step)
  const { before = '', within = '{}', status = 0, prints, isEndless = false } = step
  const line = await shellOf(command)
  const script = `${before}\n${within.replace('{}', () => line)}`
  const ended = isEndless ? await endless(command, prints ?? /./, placeOf(lane)) : await bash(script, placeOf(lane))
  const said = `${ended.stdout}${ended.stderr}`
  if (!isEndless && ended.code !== status) return `${command}: ended with ${ended.code}: ${said}`
  return prints === undefined || prints.test(said) ? undefined : `${command}: printed ${said}`
}

describe.concurrent('each command of the documents does what it says', () => {
  test.each(Object.entries(LANES))('%s', { timeout: 600_000 }, async (lane, steps) => {
    await mkdir(placeOf(lane).cwd)
    await copyFile(join(ROOT, 'docs/examples/fake-rack.yaml'), join(placeOf(lane).cwd, 'rack.yaml'))
    const wrong: string[] = []
    // The same words stand in several documents: they are run once.
    const done = new Set<string>()
    for (const step of steps) {
      const { before, within, status, prints } = step
      const key = [filledIn(step), before, within, status, prints].join('\n')
      if (done.has(key)) continue
      done.add(key)
      const why = await wrongOf(step, lane)
      if (why !== undefined) wrong.push(why)
    }
    expect(wrong).toEqual([])
  })
})
