/** A process without free file descriptors cannot start children: that is a fault each time, never its end, and it
 *  passes. */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { run } from '../../kit/run.ts'
import { ROOT } from '../lab/root.ts'

const DESCRIPTORS = 60
/** Takes every descriptor, tries each way to start a child, gives the descriptors back, and tries again. */
const script = `
import { openSync, closeSync } from 'node:fs'
import { launch, piped, pipedToFile, run } from '${join(ROOT, 'dist/kit/run.js')}'
const code = (promise) => promise.then(() => 'ok', (error) => error.code)
const say = async () => {

  const filter = piped(['cat'])
  filter.stdin.end('in')
  let text = ''
  filter.stdout.on('data', (chunk) => (text += chunk))
  const toFile = pipedToFile(['true'], 1)
  toFile.stdin.end()
  launch(['true'])
  const codes = [await code(run(['true'], { timeoutMs: 30_000 })), await code(filter.done), await code(toFile.done)]
  console.log(JSON.stringify({ codes, text }))
}
await say()
const taken = []
try { for (;;) taken.push(openSync('/dev/null', 'r')) } catch {}
await say()
for (const fd of taken) closeSync(fd)
await say()
`

test('run, piped, pipedToFile and launch outlive the lack of descriptors, and work again afterwards', async () => {
  const argv = [
    'prlimit',
    `--nofile=${DESCRIPTORS}:${DESCRIPTORS}`,
    process.execPath,
    '--input-type=module',
    '-e',
    script,
  ]
  const { code, stdout, stderr } = await run(argv, { timeoutMs: 30_000 })
  expect(stderr).toBe('')
  expect(code).toBe(0)
  const fine = { codes: ['ok', 'ok', 'ok'], text: 'in' }
  const starved = { codes: ['run.resources', 'run.resources', 'run.resources'], text: '' }
  expect(
    stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown),
  ).toEqual([fine, starved, fine])
})
