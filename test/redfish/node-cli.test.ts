/** `rackward node bios` and `rackward node firmware` against a conductor: what they show, order and wait for. */
import { afterEach, expect, test, vi } from 'vitest'
import { bios, settingOf } from '../../cli/bios.ts'
import { firmware } from '../../cli/firmware.ts'
import { Rig } from './rig.ts'

let rig: Rig | undefined
afterEach(async () => {
  vi.restoreAllMocks()
  await rig?.close()
  rig = undefined
})

/** What a command writes. */
async function printed(work: () => Promise<void>): Promise<string> {
  let text = ''
  const write = (chunk: unknown) => {
    text += String(chunk)
    return true
  }
  vi.spyOn(process.stdout, 'write').mockImplementation(write as typeof process.stdout.write)
  vi.spyOn(process.stderr, 'write').mockImplementation(write as typeof process.stderr.write)
  await work()
  vi.restoreAllMocks()
  return text
}

test('settings are listed with what they allow, ordered, waited for and reset; versions are listed', async () => {
  rig = await Rig.open({ config: { provision: { bmcLookSeconds: 0.2 } } })
  const options = { server: rig.address, wait: '30' }
  const nothing = { action: undefined, settings: [] }
  expect(await printed(() => bios('r1', nothing, options))).toMatch(/BootMode +Uefi +Uefi, Bios/)
  await printed(() => bios('r1', { action: 'set', settings: ['ProcCores=8'] }, options))
  expect(rig.bmc.families.bios.current.ProcCores).toBe(8)
  await printed(() => bios('r1', { action: 'reset', settings: [] }, options))
  expect(rig.bmc.families.bios.current.ProcCores).toBe(0)
  await expect(bios('r1', { action: 'set', settings: ['ProcCores'] }, options)).rejects.toThrow(/is not NAME=VALUE/)

  const shown = { action: undefined, component: undefined, url: undefined }
  expect(await printed(() => firmware('r1', shown, options))).toMatch(/bios +2\.1\.0/)
  const update = { action: 'update', component: 'bios', url: 'http://192.0.2.1/bios.bin' }
  await expect(printed(() => firmware('r1', update, options))).rejects.toThrow(/firmware updates are not configured/)
})

test('a value may hold the sign', () => {
  expect(settingOf('AssetTag=a=b')).toEqual({ name: 'AssetTag', value: 'a=b' })
})
