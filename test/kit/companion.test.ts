/** What a child with a channel may do, and how it gives way. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { getPriority, tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import { expect, onTestFinished, test } from 'vitest'
import { until } from '../../kit/clock.ts'
import { companion, rootReadsAll, withoutPrivileges } from '../../kit/companion.ts'
import { ROOT } from '../lab/root.ts'

async function childThatGivesWay(more: (argv: readonly string[]) => readonly string[] = (argv) => argv) {
  const dir = await mkdtemp(join(tmpdir(), 'rackward-companion-'))
  onTestFinished(() => rm(dir, { recursive: true }))
  const outfile = join(dir, 'child.mjs')
  const contents = `import { giveWay } from './companion.ts'
    await giveWay(7)
    process.send('there')
    setInterval(() => undefined, 1000)`
  await build({
    stdin: { contents, resolveDir: join(ROOT, 'kit'), loader: 'ts' },
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    logLevel: 'error',
  })
  let isThere = false
  const argv = more([process.execPath, outfile])
  const child = companion(argv, { env: { PATH: '/usr/bin:/bin' }, onMessage: () => (isThere = true) })
  onTestFinished(() => child.end())
  await until(() => isThere, { what: 'the child', timeoutMs: 30_000 })
  return child
}

test('a companion gives way as a whole: its nice value, and that of its session where sessions are weighed', async () => {
  const child = await childThatGivesWay()
  expect(getPriority(child.pid)).toBe(7)
  const group = await readFile(`/proc/${child.pid}/autogroup`, 'utf8').catch(() => undefined)
  // The session is its own: nobody else gives way with it.
  if (group !== undefined) {
    expect(group).toMatch(/ nice 7\n$/)
    expect(group).not.toBe(await readFile('/proc/self/autogroup', 'utf8'))
  }
}, 60_000)

test('one that gives way more already stays as it is, and needs no privilege for that', async () => {
  const isRoot = process.getuid?.() === 0
  const child = await childThatGivesWay((argv) => withoutPrivileges(['nice', '-n', '15', ...argv], isRoot))
  expect(getPriority(child.pid)).toBeGreaterThanOrEqual(15)
}, 60_000)

test.each([
  ['all capabilities', 'CapBnd:\t000001ffffffffff\n', true],
  ['those of a Docker container', 'CapPrm:\t0\nCapBnd:\t00000000a80425fb\n', false],
  ['those with --cap-add DAC_READ_SEARCH', 'CapBnd:\t00000000a80425ff\n', true],
  ['an unknown kernel', 'Name:\tnode\n', true],
])('root with %s: whether it reads files of others without other privileges', (_, status, reads) =>
  expect(rootReadsAll(status)).toBe(reads),
)
