/** HPE's ilorest as a judge of the virtual BMC: eight seconds of Python, and so by `npm run test:redfish` only. Its
 *  logout is right on port 443 alone, and is not asked for. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { judge } from '../judge.ts'
import { VirtualBmc } from '../virtual-bmc.ts'

let bmc: VirtualBmc
let home: string
beforeEach(async () => {
  bmc = await VirtualBmc.start()
  home = await mkdtemp(join(tmpdir(), 'rackward-ilorest-'))
})
afterEach(async () => {
  await bmc?.stop()
  await rm(home, { recursive: true, force: true })
})

test('ilorest logs in and lists', async () => {
  const tool = (...words: readonly string[]) => judge(home, ['ilorest', '--nologo', ...words])
  await tool('login', bmc.origin, '-u', bmc.user, '-p', bmc.password)
  expect(bmc.sessions.size).toBe(1)
  expect(await tool('types')).toMatch(/ComputerSystem/)
  expect(await tool('get', 'PowerState', '--select', 'ComputerSystem.')).toMatch(/PowerState=Off/)
})
