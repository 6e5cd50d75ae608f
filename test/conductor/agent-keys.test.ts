/** The key of the boot tokens and the certificate of the agents' door: whole or not there, and anything else is refused
 *  with the file's name. */
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { agentIdentity } from '../../conductor/agents/certificate.ts'
import { bootKey } from '../../conductor/boot/token.ts'
import { systemRandom } from '../../kit/random.ts'
import { run } from '../../kit/run.ts'
import { ROOT } from '../lab/root.ts'

let dir = ''
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-keys-'))
})
afterEach(() => rm(dir, { recursive: true }))

test.each([
  ['empty', ''],
  ['cut', 'ab'.repeat(31)],
  ['too long', 'ab'.repeat(33)],
  ['not hexadecimal', 'xy'.repeat(32)],
])('a boot key that is %s is refused', async (_, text) => {
  const path = join(dir, 'boot.key')
  await writeFile(path, text)
  await expect(bootKey(path, systemRandom)).rejects.toMatchObject({
    code: 'key.broken',
    message: expect.stringContaining(path) as string,
  })
  expect(await readFile(path, 'utf8')).toBe(text)
})

test('a boot key is made once', async () => {
  const path = join(dir, 'boot.key')
  const key = await bootKey(path, systemRandom)
  expect([key.length, (await bootKey(path, systemRandom)).equals(key), await readdir(dir)]).toEqual([
    32,
    true,
    ['boot.key'],
  ])
})

test('a certificate is made once; one that is cut, empty or of another key is refused', async () => {
  const made = await agentIdentity(dir)
  expect(await agentIdentity(dir)).toEqual(made)
  expect((await readdir(dir)).sort()).toEqual(['agent.crt', 'agent.key'])
  for (const broken of ['', made.cert.toString().slice(0, 300)]) {
    await writeFile(join(dir, 'agent.crt'), broken)
    await expect(agentIdentity(dir)).rejects.toMatchObject({
      code: 'key.broken',
      message: expect.stringContaining('agent.crt') as string,
    })
  }
  await writeFile(join(dir, 'agent.crt'), made.cert)
  const other = await mkdtemp(join(dir, 'other-'))
  await writeFile(join(dir, 'agent.key'), (await agentIdentity(other)).key)
  await expect(agentIdentity(dir)).rejects.toMatchObject({ code: 'key.broken' })
})

/** No file may grow: what a write meets on a full disk. */
test('a first start that can write nothing leaves no key and no certificate behind', async () => {
  const script = [
    `import { agentIdentity } from '${ROOT}/dist/conductor/agents/certificate.js'`,
    `import { bootKey } from '${ROOT}/dist/conductor/boot/token.js'`,
    `import { systemRandom } from '${ROOT}/dist/kit/random.js'`,
    "process.on('SIGXFSZ', () => undefined)",
    `const said = await Promise.all([bootKey('${dir}/boot.key', systemRandom), agentIdentity('${dir}')].map((made) => made.then(() => 'made', (error) => String(error.code ?? error))))`,
    'process.stdout.write(said.join())',
  ].join('\n')
  const argv = ['prlimit', '--fsize=10:10', process.execPath, '--input-type=module', '-e', script]
  const { stdout, stderr } = await run(argv, { timeoutMs: 60_000 })
  expect([stdout, stderr]).toEqual(['EFBIG,EFBIG', ''])
  expect(await readdir(dir)).toEqual([])
})
