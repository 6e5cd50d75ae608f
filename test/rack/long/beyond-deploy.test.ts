/** What follows a deploy, with real parts: rescue and its end on a UEFI server, a rebuild and an undeploy on a BIOS
 *  server. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { run } from '../../../kit/run.ts'
import type { Cli } from '../../clients/cli.ts'
import { addressOf, travel, waitState } from '../../lab/journey.ts'
import type { Server } from '../../lab/server.ts'
import { newSeen } from '../../lab/show.ts'
import { diskBoots, openPair, type Pair } from '../pair.ts'
import { headOf, useDebian, type Bench } from '../setup.ts'

let pair: Pair
let bench: Bench
let bios: Server
let uefi: Server
let cli: Cli
beforeAll(async () => {
  pair = await openPair('beyond')
  ;({ bench, bios, uefi, cli } = pair)
  const image = await useDebian(bench)
  const { api } = bench.conductor
  const results = await Promise.all(
    [bios, uefi].map((server) => travel({ api, rack: bench.rack, server, image, seen: newSeen() })),
  )
  expect(results.map(({ error, proof }) => error ?? proof?.hostname)).toEqual(['bios-1', 'uefi-1'])
})
afterAll(() => pair?.close())

/** A login with a password, which ssh takes from a program alone. */
async function passwordLogin(address: string, password: string, command: string): Promise<string> {
  const ask = join(bench.rack.dir, 'askpass')
  await writeFile(ask, `#!/bin/sh\necho '${password}'\n`, { mode: 0o700 })
  const options = [
    'PreferredAuthentications=password',
    'PubkeyAuthentication=no',
    'StrictHostKeyChecking=no',
    'UserKnownHostsFile=/dev/null',
    'NumberOfPasswordPrompts=1',
    'LogLevel=ERROR',
  ]
  const argv = bench.rack.in([
    'setsid',
    '-w',
    'ssh',
    ...options.flatMap((option) => ['-o', option]),
    `rescue@${address}`,
    command,
  ])
  const { code, stdout } = await run(argv, {
    timeoutMs: 30_000,
    env: { SSH_ASKPASS: ask, SSH_ASKPASS_REQUIRE: 'force', DISPLAY: 'none' },
  })
  return code === 0 ? stdout : `status ${code}`
}

// Each on a server of its own, at the same time.
describe('beyond the first deploy', { concurrent: true }, () => {
  test('rescue opens a login into a system of its own, with the disks of the server in reach; unrescue starts the instance again', async () => {
    const { api } = bench.conductor
    const uuid = (await api.ok('GET', '/v1/nodes/uefi-1')).uuid as string
    await cli.ok('node', 'rescue', 'uefi-1', '--rescue-password', 'Rette-mich 7')
    await waitState(api, uuid, { to: 'rescue' })
    const address = await addressOf(api, uuid, uefi.mac)
    const said = await passwordLogin(
      address,
      'Rette-mich 7',
      'id -u; hostname; ls /sys/block; head -c 8 /dev/nvme0n1p1 | wc -c',
    )
    expect(said).toMatch(/^0\n[\s\S]*nvme0n1[\s\S]*\n8\n$/)
    expect(await passwordLogin(address, 'wrong', 'true')).toMatch(/^status /)
    const started = await diskBoots(uefi)
    await cli.ok('node', 'unrescue', 'uefi-1')
    await waitState(api, uuid, { to: 'active' })
    await started()
    expect(JSON.stringify(await api.ok('GET', `/v1/nodes/${uuid}`))).not.toMatch(/rescue_password|Rette/)
  })

  test('rebuilt, then undeployed by the command line: the disk is clean and the node is parked', async () => {
    const { api } = bench.conductor
    const uuid = (await api.ok('GET', '/v1/nodes/bios-1')).uuid as string
    await cli.ok('node', 'rebuild', 'bios-1')
    await waitState(api, uuid, { to: 'active' })
    await cli.ok('node', 'undeploy', 'bios-1')
    await waitState(api, uuid, { to: 'available' })
    const head = await headOf(bios.diskFile, 4 * 1024 * 1024)
    expect(head.every((byte) => byte === 0)).toBe(true)
    expect(await api.ok('GET', '/v1/nodes/bios-1')).toMatchObject({
      instance_uuid: null,
      instance_info: {},
      last_error: null,
    })
  })
})
