/** Judges that know nothing of us use the virtual BMC: python3-sushy, redfishtool and ilorest. Skipped where they are not installed, except by `npm run test:redfish`. */
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { run } from '../../kit/run.ts'
import type { SimulatedMachine } from './machine.ts'
import { VirtualBmc } from './virtual-bmc.ts'

const SUSHY = join(dirname(fileURLToPath(import.meta.url)), 'judges/sushy_judge.py')
const all = process.env.RACKWARD_REDFISH === 'all'
const lacks = (path: string) => !all && !existsSync(path)
const LIFE_MS = 60_000

let bmc: VirtualBmc<SimulatedMachine>
let home: string
beforeEach(async () => {
  bmc = await VirtualBmc.start()
  home = await mkdtemp(join(tmpdir(), 'rackward-judges-'))
})
afterEach(async () => {
  await bmc?.stop()
  await rm(home, { recursive: true, force: true })
})

/** Python's requests would take certificates from there, whatever it is told. */
const env = () => ({ REQUESTS_CA_BUNDLE: '', CURL_CA_BUNDLE: '', SSL_CERT_FILE: '', HOME: home })

async function judge(argv: readonly string[], input?: string): Promise<string> {
  const { code, stdout, stderr } = await run(argv, {
    timeoutMs: LIFE_MS,
    env: env(),
    cwd: home,
    ...(input === undefined ? {} : { input }),
  })
  if (code !== 0) throw new Error(`${argv.slice(0, 2).join(' ')}: status ${code}: ${stderr}${stdout}`)
  return stdout
}

test.skipIf(lacks('/usr/lib/python3/dist-packages/sushy'))(
  'python3-sushy finds the system, switches it and sets what it boots',
  async () => {
    const said = await judge(['/usr/bin/python3', '-W', 'ignore', SUSHY, bmc.origin, bmc.user], bmc.password)
    expect(JSON.parse(said)).toMatchObject({
      wrong_password: 'AccessError',
      system: ['Rackward', 'RW-0001', bmc.system.uuid, 'Off'],
      reset_types: ['ForceOff', 'ForceRestart', 'GracefulShutdown', 'Nmi', 'On', 'PushPowerButton'],
      managers: ['BMC'],
      chassis: ['RackMount'],
      boot: ['Pxe', 'Once', 'UEFI'],
      on: ['On', 'Disabled'],
      on_again: expect.stringMatching(/Error$/),
      off: 'Off',
      // Waits in the settings resource, and holds after the start that follows.
      bios: [true, true, true],
      secure_boot: [true, expect.any(String)],
      sessions: 1,
    })
    expect(bmc.machine.starts[0]).toMatchObject({ target: 'Pxe', mode: 'UEFI' })
  },
)

test.skipIf(lacks('/usr/bin/redfishtool'))('redfishtool lists, sets the override and switches', async () => {
  const tool = async (auth: 'Session' | 'Basic', ...words: readonly string[]) => {
    const host = new URL(bmc.origin).host
    const said = await judge([
      'redfishtool',
      '-r',
      host,
      '-u',
      bmc.user,
      '-p',
      bmc.password,
      '-S',
      'Always',
      '-A',
      auth,
      ...words,
    ])
    return said === '' ? undefined : (JSON.parse(said) as unknown)
  }
  expect(await tool('Session', 'Systems', 'list')).toMatchObject({ Members: [{ '@odata.id': bmc.systemPath }] })
  expect(await tool('Basic', 'Managers', 'list')).toMatchObject({ 'Members@odata.count': 1 })
  expect(await tool('Session', 'Systems', 'setBootOverride', 'Once', 'Pxe')).toMatchObject({
    Boot: { BootSourceOverrideTarget: 'Pxe', BootSourceOverrideEnabled: 'Once' },
  })
  await tool('Basic', 'Systems', 'reset', 'On')
  expect(bmc.machine.starts).toEqual([{ target: 'Pxe', mode: 'UEFI', media: {} }])
  // It closes the sessions that it opened.
  expect(bmc.sessions.size).toBe(0)
})

// Eight seconds of Python. Its logout is right on port 443 only, so that it is not asked for.
test.skipIf(!all)('ilorest logs in and lists', async () => {
  const tool = (...words: readonly string[]) => judge(['ilorest', '--nologo', ...words])
  await tool('login', bmc.origin, '-u', bmc.user, '-p', bmc.password)
  expect(bmc.sessions.size).toBe(1)
  expect(await tool('types')).toMatch(/ComputerSystem/)
  expect(await tool('get', 'PowerState', '--select', 'ComputerSystem.')).toMatch(/PowerState=Off/)
})
