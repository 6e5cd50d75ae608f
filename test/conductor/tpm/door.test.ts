/** A live conductor, the agent's own connection and a TPM in software: what is proven shows in the API and the command
 *  line, and with driver_info/tpm require nothing secret goes out before. */
import { createHash, X509Certificate } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { mintToken } from '../../../conductor/boot/token.ts'
import { startConductor, type Conductor } from '../../../conductor/conductor.ts'
import { Config } from '../../../conductor/config.ts'
import { ConductorLink } from '../../../host-agent/deploy/conductor.ts'
import { proveBoot } from '../../../host-agent/deploy/tpm/prove.ts'
import { importImage } from '../../../images/import.ts'
import { ImageStore } from '../../../images/store.ts'
import { systemClock, until } from '../../../kit/clock.ts'
import { silentLog } from '../../../kit/log.ts'
import { run, type Run } from '../../../kit/run.ts'
import { freePort } from '../../kit/free-port.ts'
import { ApiClient } from '../../lab/client.ts'
import { ask, code, disk, inventory } from '../agent-bench.ts'
import { EVENT, parseEventLog } from '../../../conductor/tpm/event-log.ts'
import { LIMITS, LOG } from './golden.ts'
import { Swtpm } from './swtpm.ts'

let dir = ''
let port = 0
let node = ''
let conductor: Conductor
let api: ApiClient
let device: Swtpm
let agent: ConductorLink
let power = 'off'
const ipmitool: Run = async (argv) => {
  power = /power (on|off)$/.exec(argv.join(' '))?.[1] ?? power
  return { code: 0, stdout: `Chassis Power is ${power}\n`, stderr: '' }
}
const file = (name: string) => readFile(join(dir, 'data', name))
const provision = (target: string, more = {}) =>
  api.ok('PUT', `/v1/nodes/${node}/states/provision`, { target, ...more })
const state = (wanted: string) =>
  until(
    async () => {
      const now = await api.ok('GET', `/v1/nodes/${node}`)
      return now.provision_state === wanted && now.reservation === null && now
    },
    { what: wanted, timeoutMs: 20_000, everyMs: 20 },
  )
const mode = (tpm: string) =>
  api.ok('PATCH', `/v1/nodes/${node}`, [{ op: 'add', path: '/driver_info/tpm', value: tpm }])
/** A boot of the server, whose agent says hello. Resolves to what is asked of its TPM. */
async function boots(generation: number): Promise<string | undefined> {
  const pin = createHash('sha256')
    .update(new X509Certificate(await file('agent.crt')).raw)
    .digest('hex')
  agent?.close()
  agent = new ConductorLink({ url: `https://127.0.0.1:${port}`, pin, clock: systemClock })
  const key = Buffer.from((await file('boot.key')).toString().trim(), 'hex')
  const grant = await agent.open(ask(mintToken(key, { nodeUuid: node, generation, mintedMs: generation })))
  return grant.tpm
}
const view = async () => (await api.ok('GET', `/rackward/v1/nodes/${node}/tpm`)) as { ek: string; proof: object | null }

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-tpm-'))
  port = await freePort()
  const raw = Buffer.alloc(1024 * 1024, 3)
  raw.writeUInt16LE(0xaa55, 510)
  await writeFile(join(dir, 'raw'), raw)
  await importImage(new ImageStore(join(dir, 'images')), { source: join(dir, 'raw'), name: 'tiny' })
  conductor = await startConductor(
    Config.parse({
      data: join(dir, 'data'),
      images: { store: join(dir, 'images') },
      api: { listen: [], socket: join(dir, 'api.sock'), auth: { strategy: 'noauth' } },
      agent: { address: '127.0.0.1', port },
      limits: { agents: { tpmSeconds: 600 } },
    }),
    { log: silentLog, run: ipmitool, fleet: null },
  )
  api = new ApiClient(join(dir, 'api.sock'))
  const made = await api.ok('POST', '/v1/nodes', {
    driver: 'ipmi',
    driver_info: { ipmi_address: '127.0.0.1', ipmi_username: 'u', ipmi_password: 'p' },
    instance_info: { image_source: 'tiny' },
    automated_clean: false,
  })
  node = String(made.uuid)
  await provision('manage')
  await state('manageable')
  await provision('inspect')
  await state('inspect wait')
  device = await Swtpm.start()
  for (const { pcr, type, digest } of parseEventLog(LOG, LIMITS))
    if (type !== EVENT.noAction) await device.extend(pcr, digest)
})
afterAll(async () => {
  agent?.close()
  await device?.end()
  await conductor?.stop()
  await rm(dir, { recursive: true, force: true })
})

test('the agent is asked for a proof, and what it proves shows in the API', async () => {
  expect(await boots(2)).toBe('observe')
  expect(await view()).toMatchObject({ mode: 'observe', ek: null, proof: null })

  const order = await agent.order('')
  await agent.report({ orderId: order!.id, done: { inventory, rootDisk: disk } })
  await state('manageable')
})

test('with require, the order that brings secrets waits for the proof, and ends by name where it proves too little', async () => {
  await provision('provide')
  await state('available')
  await mode('on')
  await expect(provision('active')).rejects.toThrow(/driver_info\/tpm: must be one of off, observe, require/)
  await mode('require')
  await provision('active', {
    configdrive: { meta_data: { hostname: 'h' }, user_data: 'the secret' },
    deploy_steps: [{ interface: 'deploy', step: 'write_image', priority: 80, args: {} }],
  })
  // The agent of the inspection is there, and has proven nothing: the order begins with a boot.
  await state('wait call-back')
  expect(await code(agent.configDrive())).toBe('agent.session')
  expect(await boots(4)).toBe('require')
  // What wakes it is the proof; it ends with the poll.
  void agent.order('').catch(() => null)
  expect(await code(agent.configDrive())).toBe('tpm.silent')
  // An order that was not given is not done either: what is on the disk would pass for the image.
  const guessed = { orderId: `${node}.4.0`, done: { rootDisk: disk, writtenBytes: 1 } }
  expect(await code(agent.report(guessed))).toBe('tpm.silent')

  await proveBoot({
    run,
    clock: systemClock,
    ask: agent.tpm,
    device: () => Promise.resolve(device),
    log: () => Promise.resolve(LOG),
    say: () => undefined,
  })
  expect(await view()).toMatchObject({
    mode: 'require',
    ek: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
    proof: { verdict: 'partial', present: true, secure_boot: true, fault: null },
  })
  const failed = await state('deploy failed')
  expect(failed.last_error).toMatch(/^driver_info\/tpm is require: .*signed loaders/s)
  const account = await api.ok('GET', `/rackward/v1/nodes/${node}/explain`)
  expect(JSON.stringify(account.causes)).toContain('does not measure what was served')
})

test('there is nothing to accept while the TPM is the recorded one', async () => {
  const { status, body } = await api.call('POST', `/rackward/v1/nodes/${node}/tpm/accept`, {})
  expect(status).toBe(409)
  expect(JSON.stringify(body)).toContain('no other TPM waits')
})
