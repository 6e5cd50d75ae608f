/** Judges that know nothing of us use the virtual BMC: python3-sushy and redfishtool, which the verbs test and redfish
 *  install. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { judge } from './judge.ts'
import type { SimulatedMachine } from './machine.ts'
import { VirtualBmc } from './virtual-bmc.ts'

const SUSHY = join(dirname(fileURLToPath(import.meta.url)), 'judges/sushy_judge.py')

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

test('python3-sushy finds the system, switches it and sets what it boots', async () => {
  const said = await judge(home, ['/usr/bin/python3', '-W', 'ignore', SUSHY, bmc.origin, bmc.user], bmc.password)
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
})

test('redfishtool lists, sets the override and switches', async () => {
  const tool = async (auth: 'Session' | 'Basic', ...words: readonly string[]) => {
    const host = new URL(bmc.origin).host
    const said = await judge(home, [
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
