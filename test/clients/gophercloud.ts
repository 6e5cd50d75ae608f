/** gophercloud's own acceptance tests of bare metal, from Debian's package of its sources, built with Debian's Go in
 *  GOPATH mode (no network): without a login, with a password, and through an identity service. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { defaultCache } from '../../cli/image.ts'
import { run } from '../../kit/run.ts'
import { startIdentity } from '../api/identity.ts'
import type { Ground } from './ground.ts'
import type { Check } from './report.ts'

const GOPATH = '/usr/share/gocode'
const ACCEPTANCE = 'github.com/gophercloud/gophercloud/acceptance/openstack/baremetal'
/** The first build compiles the whole client. */
const SUITE_LIMIT_MS = 10 * 60_000

export async function gophercloud(ground: Ground): Promise<{ versions: string; checks: Check[] }> {
  const identity = await startIdentity(ground.noauth)
  const suites: Readonly<Record<string, Readonly<Record<string, string>>>> = {
    noauth: { IRONIC_ENDPOINT: `${ground.noauth}/v1` },
    httpbasic: {
      IRONIC_ENDPOINT: `${ground.basic.url}/v1`,
      OS_USERNAME: ground.basic.user,
      OS_PASSWORD: ground.basic.password,
    },
    v1: {
      OS_AUTH_URL: identity.url,
      OS_USERNAME: 'admin',
      OS_PASSWORD: 'x',
      OS_PROJECT_NAME: 'admin',
      OS_DOMAIN_NAME: 'Default',
      OS_REGION_NAME: 'RegionOne',
    },
  }
  try {
    const checks: Check[] = []
    for (const [suite, env] of Object.entries(suites)) checks.push(...(await runSuite(suite, env)))
    return { versions: await versions(), checks }
  } finally {
    identity.stop()
  }
}

const TestEvent = z.object({ Action: z.string(), Test: z.string().optional(), Output: z.string().optional() })

async function runSuite(suite: string, env: Readonly<Record<string, string>>): Promise<Check[]> {
  const cache = join(defaultCache(), 'go-build')
  await mkdir(cache, { recursive: true })
  // One after the other: each of the suite's ports has the same address.
  const argv = ['test', '-json', '-count=1', '-parallel=1', '-tags', 'acceptance', `${ACCEPTANCE}/${suite}`]
  const { code, stdout, stderr } = await run(
    [
      'env',
      '-i',
      ...Object.entries({ ...GO_ENV, GOCACHE: cache, ...env }).map(([name, value]) => `${name}=${value}`),
      '/usr/bin/go',
      ...argv,
    ],
    { timeoutMs: SUITE_LIMIT_MS },
  )

  const said = new Map<string, string[]>()
  const checks = stdout.split('\n').flatMap((line): Check[] => {
    if (!line.startsWith('{')) return []
    const { Action, Test, Output } = TestEvent.parse(JSON.parse(line))
    if (Test === undefined) return []
    const lines = said.get(Test) ?? []
    said.set(Test, Output === undefined ? lines : [...lines, Output])
    const result = RESULTS[Action]
    return result ? [{ name: `${suite}.${Test}`, result, why: whyOf(lines) }] : []
  })
  if (code !== 0 && checks.every(({ result }) => result !== 'failed'))
    checks.push({
      name: suite,
      result: 'failed',
      why: `go test: status ${code}: ${stderr.slice(-400)} ${stdout.slice(-400)}`,
    })
  return checks
}

const GO_ENV = { PATH: '/usr/bin:/bin', HOME: '/nonexistent', GO111MODULE: 'off', GOPATH, GOFLAGS: '', GOPROXY: 'off' }
const RESULTS: Readonly<Record<string, Check['result'] | undefined>> = {
  pass: 'passed',
  fail: 'failed',
  skip: 'skipped',
}

/** What a failed test printed, without Go's own frame lines. */
const whyOf = (lines: readonly string[]): string => lines.filter((line) => !/^\s*(===|---)/.test(line)).join(' ')

async function versions(): Promise<string> {
  const { stdout } = await run(
    ['dpkg-query', '-W', '-f', '${Package} ${Version}\\n', 'golang-github-gophercloud-gophercloud-dev', 'golang-go'],
    { timeoutMs: 30_000 },
  )
  return stdout.trim().split('\n').join(', ')
}
