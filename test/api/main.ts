/** `npm run test:api -- [tempest|client|sdk ...] [--only REGEX] [--json]`: OpenStack's own bare-metal API tests against
 *  a conductor of fake hardware that it starts. One line for each test that failed, and the totals; status 1 when one
 *  failed. A suite that takes too long is ended. */
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { systemClock, until } from '../../kit/clock.ts'
import { freePort } from '../kit/free-port.ts'
import { RACKWARD_MAIN, ROOT } from '../lab/root.ts'
import { startIdentity } from './identity.ts'
import { writeSettings } from './settings.ts'

const SUITES = {
  tempest: 'ironic_tempest_plugin.tests.api',
  client: 'ironicclient.tests.functional',
  sdk: 'openstack.tests.functional.baremetal',
} as const
type Suite = keyof typeof SUITES
const isSuite = (word: string): word is Suite => Object.hasOwn(SUITES, word)

const SUITE_LIMIT_MS = 30 * 60_000

interface Report {
  readonly total: number
  readonly ok: number
  readonly skip: number
  readonly seconds: number
  readonly tests: Readonly<Record<string, { readonly result: string; readonly why: string }>>
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { only: { type: 'string' }, json: { type: 'boolean', default: false } },
})
async function main(suites: readonly Suite[]): Promise<number> {
  const dir = await mkdtemp(join(tmpdir(), 'rackward-api-tests-'))
  const port = await freePort()
  const api = `http://127.0.0.1:${port}`
  const identity = await startIdentity(api)
  const conductor = start(process.execPath, [
    RACKWARD_MAIN,
    'conductor',
    '--dev',
    '--port',
    String(port),
    '--data',
    join(dir, 'data'),
  ])
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => conductor.kill('SIGTERM'))
  try {
    await until(() => answers(api), { what: 'the conductor', timeoutMs: 30_000, everyMs: 100 })
    const env = await writeSettings(dir, { api, identity: identity.url })
    const reports: Partial<Record<Suite, Report>> = {}
    for (const suite of suites) reports[suite] = await runSuite(suite, { dir, env })
    return tell(reports)
  } finally {
    conductor.kill('SIGTERM')
    identity.stop()
    await rm(dir, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 })
  }
}

const answers = (api: string): Promise<boolean> =>
  fetch(`${api}/v1`).then(
    (response) => response.ok,
    () => false,
  )

const start = (command: string, argv: readonly string[]): ChildProcess =>
  spawn(command, argv, { cwd: ROOT, stdio: 'ignore' })

async function runSuite(suite: Suite, { dir, env }: { dir: string; env: Record<string, string> }): Promise<Report> {
  const out = join(dir, `${suite}.json`)
  const only = values.only === undefined ? [] : ['--only', values.only]
  const argv = ['-W', 'ignore', join(ROOT, 'test/api/run_suite.py'), suite, out, ...only, SUITES[suite]]
  // Where OS_CLOUD is set, the command line logs in by it; its own tests ask for no login.
  const { OS_CLOUD: _cloud, OS_CLIENT_CONFIG_FILE: _file, ...bare } = env
  const child = spawn('/usr/bin/python3', argv, {
    cwd: join(dir, 'work'),
    env: suite === 'sdk' ? env : bare,
    stdio: ['ignore', 'ignore', 'ignore'],
    detached: true,
  })
  const late = systemClock.after(SUITE_LIMIT_MS, () => child.pid !== undefined && process.kill(-child.pid, 'SIGKILL'))
  await new Promise((resolve) => child.once('exit', resolve))
  late()
  const text = await readFile(out, 'utf8').catch(() => undefined)
  if (text === undefined)
    throw new Error(
      `the suite ${suite} ended without a report: it broke, or took longer than ${SUITE_LIMIT_MS / 60_000} minutes`,
    )
  return JSON.parse(text) as Report
}

function tell(reports: Partial<Record<Suite, Report>>): number {
  const suites = Object.entries(reports).map(([suite, { tests, total, ok, skip, seconds }]) => {
    const failed = Object.entries(tests).filter(([, { result }]) => result !== 'ok' && result !== 'skip')
    return {
      suite,
      total,
      passed: ok,
      skipped: skip,
      seconds,
      failed: failed.map(([test, { why }]) => ({ test, why: lastWord(why) })),
    }
  })
  if (values.json) process.stdout.write(`${JSON.stringify({ suites }, null, 2)}\n`)
  else {
    for (const { failed } of suites)
      for (const { test, why } of failed) process.stdout.write(`failed  ${test}  (${why})\n`)
    for (const { suite, total, passed, skipped, failed, seconds } of suites)
      process.stdout.write(
        `${suite.padEnd(8)} ${passed} of ${total} passed, ${failed.length} failed, ${skipped} skipped, ${seconds} s\n`,
      )
  }
  return suites.some(({ failed }) => failed.length > 0) ? 1 : 0
}

/** The line of a traceback that says what was wrong. */
function lastWord(why: string): string {
  const lines = why
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
  return (
    lines.findLast((line) => /^[\w.]*(Error|Exception|Failure|Invalid|Found|Conflict|Mismatch)\w*:/.test(line)) ??
    lines.at(-1) ??
    ''
  ).slice(0, 300)
}

const unknown = positionals.find((word) => !isSuite(word))
if (unknown !== undefined) {
  process.stderr.write(`unknown suite ${unknown}: use ${Object.keys(SUITES).join(', ')}\n`)
  process.exit(2)
}
process.exitCode = await main((positionals.length > 0 ? positionals : Object.keys(SUITES)) as Suite[])
