/** The signed ramdisk on OVMF with Secure Boot and a TPM: one program was measured, and the conductor finds it among
 *  the bytes that it served. What is secret is required to wait for that. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { defaultCache } from '../../../cli/image.ts'
import { buildSignedRamdisk } from '../../../cli/uki.ts'
import { until } from '../../../kit/clock.ts'
import { enroll, provision, type TpmSaid } from '../../lab/journey.ts'
import type { Server } from '../../lab/server.ts'
import { openBench, type Bench } from '../setup.ts'

const GIB = 1024 ** 3
let bench: Bench
let server: Server
beforeAll(async () => {
  bench = await openBench('ukitpm', {}, { uki: true })
  const said = await buildSignedRamdisk(
    { config: bench.conductor.configFile, cacheDir: defaultCache() },
    (line) => void process.stderr.write(`  ${line}\n`),
  )
  const siteCertificate = /certificate +(\S+)/.exec(said)?.[1] ?? ''
  await bench.conductor.start()
  server = await bench.rack.addServer({
    name: 'server-1',
    firmware: 'uefi',
    card: 'virtio',
    diskKind: 'virtio',
    diskBytes: 2 * GIB,
    memoryMb: 2048,
    secureBoot: true,
    httpBoot: true,
    siteCertificate,
    tpm: true,
  })
})
afterAll(() => bench?.rack.down())

test('a boot by one signed file is proven by its TPM', { timeout: 900_000 }, async () => {
  const { api } = bench.conductor
  const node = await enroll(api, server)
  await provision(api, node, { target: 'manage' }, { to: 'manageable' })
  await provision(api, node, { target: 'inspect' }, { to: 'manageable' })
  // It is proven beside the orders.
  const said = async () => {
    const tpm = (await api.ok('GET', `/rackward/v1/nodes/${node}/tpm`)) as unknown as TpmSaid
    return tpm.proof ? tpm : undefined
  }
  const tpm = await until(said, { what: 'the proof of the boot', timeoutMs: 120_000 })
  expect(tpm).toMatchObject({ mode: 'require', proof: { verdict: 'proved', by: 'uki' } })
})
