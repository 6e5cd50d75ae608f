/** Secure Boot keys of a site in firmware that is in setup mode: made with efitools as docs/hardware.md says, enrolled
 *  by the ramdisk, and enforced at the next start. */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { until } from '../../../kit/clock.ts'
import { runOk } from '../../../kit/run.ts'
import { enroll, provision } from '../../lab/journey.ts'
import { openBench, type Bench } from '../setup.ts'

const GIB = 1024 ** 3
const MINUTE_MS = 60_000
const OWNER = '11111111-2222-4333-8444-555555555555'
const NAMES = ['PK', 'KEK', 'db'] as const

let bench: Bench
beforeAll(async () => {
  bench = await openBench('keys', {})
  await bench.conductor.start()
})
afterAll(() => bench?.rack.down())

/** The signed update of each variable, as base64: PK and KEK signed by PK, db by KEK. */
async function keysIn(dir: string): Promise<Record<(typeof NAMES)[number], string>> {
  await mkdir(dir)
  const inDir = (argv: readonly string[]) => runOk(argv, { timeoutMs: MINUTE_MS, cwd: dir })
  for (const name of NAMES) {
    const request = ['req', '-new', '-x509', '-newkey', 'rsa:2048', '-nodes', '-sha256', '-days', '3650']
    await inDir(['openssl', ...request, '-subj', `/CN=${name}/`, '-keyout', `${name}.key`, '-out', `${name}.crt`])
    await inDir(['cert-to-efi-sig-list', '-g', OWNER, `${name}.crt`, `${name}.esl`])
  }
  for (const [name, by] of [
    ['PK', 'PK'],
    ['KEK', 'PK'],
    ['db', 'KEK'],
  ])
    await inDir([
      'sign-efi-sig-list',
      '-g',
      OWNER,
      '-k',
      `${by}.key`,
      '-c',
      `${by}.crt`,
      name!,
      `${name}.esl`,
      `${name}.auth`,
    ])
  const base64 = async (name: string) => (await readFile(join(dir, `${name}.auth`))).toString('base64')
  return { PK: await base64('PK'), KEK: await base64('KEK'), db: await base64('db') }
}

test(
  'keys are enrolled by the ramdisk, and the firmware refuses what they did not sign',
  { timeout: 900_000 },
  async () => {
    const { conductor, rack } = bench
    const server = await rack.addServer({
      name: 'server-1',
      firmware: 'uefi',
      card: 'virtio',
      diskKind: 'virtio',
      diskBytes: 5 * GIB,
      memoryMb: 1536,
    })
    // Firmware that would verify, if it had keys.
    await writeFile(join(server.dir, 'secure-boot'), 'on none\n')
    const args = await keysIn(join(rack.dir, 'site-keys'))

    const node = await enroll(conductor.api, server)
    await provision(conductor.api, node, { target: 'manage' }, { to: 'manageable' })
    const clean_steps = [{ interface: 'management', step: 'enroll_secure_boot_keys', args }]
    await provision(conductor.api, node, { target: 'clean', clean_steps }, { to: 'manageable', timeoutMs: 600_000 })

    const consoleText = () => readFile(join(server.dir, 'console.log'), 'latin1')
    const sizeBefore = (await consoleText()).length
    for (const words of [
      ['power', 'off'],
      ['chassis', 'bootdev', 'pxe'],
      ['power', 'on'],
    ])
      expect((await rack.ipmi(server, words)).code).toBe(0)
    await until(async () => (await consoleText()).slice(sizeBefore).includes('Access Denied'), {
      what: 'the firmware to refuse an unsigned loader',
      timeoutMs: 300_000,
      everyMs: 1_000,
    })
  },
)
