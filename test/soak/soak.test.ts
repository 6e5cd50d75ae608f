/** The soak's own judgement, and one short soak for real, so that it runs when it is needed. */
import { expect, test } from 'vitest'
import { run } from '../../kit/run.ts'
import { ROOT } from '../lab/root.ts'
import { Ledger } from './ledger.ts'
import { faultsOf, table, type PhaseResult } from './report.ts'

const phase = (more: Partial<PhaseResult> = {}): PhaseResult => ({
  name: 'a flood',
  seconds: 10,
  sent: 5,
  health: { asked: 100, p50Ms: 1, p99Ms: 20, longestMs: 30, failed: 0 },
  fences: { ordered: 3, failed: 0, longestMs: 40 },
  memoryBytes: 1e8,
  descriptors: 50,
  diskBytes: 1e7,
  judged: true,
  ...more,
})
const use = { before: { memoryBytes: 2e8, descriptors: 60 }, after: { memoryBytes: 2.2e8, descriptors: 64 } }

test('a soak in which nothing happened has no fault, and its table has a row for each phase', () => {
  expect(faultsOf([phase()], use)).toEqual([])
  expect(table([phase(), phase({ name: 'another', sent: null })]).split('\n')).toHaveLength(3)
})

test.each([
  ['a slow answer', phase({ health: { ...phase().health, p99Ms: 251 } }), use, /p99/],
  ['an answer that never came', phase({ health: { ...phase().health, failed: 1 } }), use, /1 of 100 failed/],
  [
    'a fence that was not carried out',
    phase({ fences: { ordered: 3, failed: 1, longestMs: 10 } }),
    use,
    /1 of 3 fences/,
  ],
  ['a fence that took long', phase({ fences: { ordered: 3, failed: 0, longestMs: 9000 } }), use, /9000 ms/],
  [
    'memory that grew',
    phase(),
    { ...use, after: { memoryBytes: 6e8, descriptors: 60 } },
    /memory grew from 200 to 600 MB/,
  ],
  ['descriptors that grew', phase(), { ...use, after: { memoryBytes: 2e8, descriptors: 500 } }, /descriptors grew/],
])('%s is a fault', (_, seen, used, says) => {
  expect(faultsOf([seen], used)).toEqual([expect.stringMatching(says)])
})

test('a conductor that is killed on purpose may be slow', () => {
  expect(faultsOf([phase({ judged: false, health: { ...phase().health, p99Ms: 9000, failed: 12 } })], use)).toEqual([])
})

test('the ledger wants every acknowledged value, takes one that was sent and never answered, and nothing else', () => {
  const ledger = new Ledger()
  for (const acknowledged of [true, true, false]) ledger.end('n', ledger.begin('n') as number, acknowledged)
  expect(ledger.check(() => 2)).toEqual([])
  expect(ledger.check(() => 3)).toEqual([])
  expect(ledger.check(() => 1)).toEqual(['n: 1 is stored, 2 was acknowledged, 3 was sent last'])
  expect(ledger.check(() => 4)).toHaveLength(1)

  expect(ledger.begin('n')).toBe(4)
  expect(ledger.begin('n')).toBeUndefined()
})

test(
  'a short soak runs to its end: no node stuck, no write lost, nothing carried out for a foreign page',
  { timeout: 180_000 },
  async () => {
    const argv = [
      'dist/test/soak/main.js',
      '--minutes',
      '0.2',
      '--nodes',
      '20',
      '--clients',
      '4',
      '--flood',
      'web page',
      '--json',
    ]
    const { stdout, stderr } = await run([process.execPath, '--enable-source-maps', ...argv], {
      timeoutMs: 170_000,
      cwd: ROOT,
    })
    expect(stdout, stderr).not.toBe('')
    const seen = JSON.parse(stdout) as { phases: PhaseResult[]; faults: string[] }
    expect(seen.phases.map(({ name }) => name)).toContain('a web page that fences')
    expect(seen.phases.find(({ name }) => name === 'a web page that fences')?.sent).toBeGreaterThan(0)
    // How fast it was says nothing on a machine that runs other tests.
    expect(seen.faults.filter((fault) => !/healthz|fences failed|grew/.test(fault))).toEqual([])
  },
)
