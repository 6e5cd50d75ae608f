/** Config drives as the programs read them that they are for: Ignition's user data stands in the ISO byte for byte, and
 *  Debian's ignition-validate takes it. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { buildConfigDrive } from '../../conductor/agents/config-drive.ts'
import type { NodeRecord } from '../../conductor/node/record.ts'
import { run, runOk } from '../../kit/run.ts'

const NODE = { uuid: '6f2b7d1c-0000-4000-8000-000000000001', name: 'n1', instanceUuid: null } as unknown as NodeRecord
const TIMEOUT = { timeoutMs: 60_000 }
const IGNITION = {
  ignition: { version: '3.3.0' },
  passwd: {
    users: [{ name: 'core', sshAuthorizedKeys: ['ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExample core@example'] }],
  },
  storage: { files: [{ path: '/etc/hostname', mode: 420, contents: { source: 'data:,n1%20%C3%BC' } }] },
}
let dir = ''
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-drive-readers-'))
})
afterAll(() => rm(dir, { recursive: true }))

/** Takes a file out of the ISO, as a reader that mounts it sees it. */
async function fileIn(iso: Buffer, path: string): Promise<string> {
  const [image, to] = [join(dir, 'drive.iso'), join(dir, 'file')]
  await writeFile(image, iso)
  await rm(to, { force: true })
  await runOk(['xorriso', '-osirrox', 'on', '-indev', image, '-extract', path, to], TIMEOUT)
  return readFile(to, 'utf8')
}

const validated = (path: string) => run(['ignition-validate', path], TIMEOUT)

test.each([
  ['a text', `${JSON.stringify(IGNITION, null, 2)}\n`],
  ['an object', IGNITION],
])('an Ignition config that came as %s is what Ignition finds', async (_, given) => {
  const iso = await buildConfigDrive(NODE, { user_data: given }, 64 * 1024 * 1024)
  // Where Ignition's provider "openstack" looks on the drive labelled config-2.
  expect(iso.toString('latin1', 32_808, 32_840).trim()).toBe('config-2')
  const found = await fileIn(iso, '/openstack/latest/user_data')
  expect(found).toBe(typeof given === 'string' ? given : JSON.stringify(given))
  const { code, stdout, stderr } = await validated(join(dir, 'file'))
  expect({ code, said: stdout + stderr }).toEqual({ code: 0, said: '' })
})

test('the judge refuses what is no Ignition config', async () => {
  const path = join(dir, 'wrong')
  await writeFile(path, '{"ignition": {"version": "3.3.0"}, "storage": {"files": [{"mode": 420}]}}')
  expect((await validated(path)).code).not.toBe(0)
})
