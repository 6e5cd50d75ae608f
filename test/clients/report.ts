/** What a client's run comes to: one line per failure, totals per client, or the same as JSON. */

export interface Check {
  readonly name: string
  readonly result: 'passed' | 'failed' | 'skipped'
  readonly why?: string
}

export interface ClientReport {
  readonly client: string
  /** What was run, with its version. */
  readonly versions: string
  readonly seconds: number
  readonly checks: readonly Check[]
}

const LINE_LENGTH = 400

/** Prints the reports; the answer is the exit status: 1 when something failed, or when a client ran nothing at all. */
export function tell(reports: readonly ClientReport[], print: { json: boolean; out: (text: string) => void }): number {
  const totals = reports.map(({ checks, ...report }) => {
    const count = (result: Check['result']) => checks.filter((check) => check.result === result).length
    return {
      ...report,
      passed: count('passed'),
      failed: checks
        .filter(({ result }) => result === 'failed')
        .map(({ name, why = '' }) => ({ name, why: oneLine(why) })),
      skipped: count('skipped'),
    }
  })

  if (print.json) print.out(`${JSON.stringify({ clients: totals }, null, 2)}\n`)
  else {
    for (const { client, failed } of totals)
      for (const { name, why } of failed) print.out(`failed  ${client}: ${name}  (${why})\n`)
    for (const { client, passed, failed, skipped, seconds, versions } of totals) {
      const of = passed + failed.length + skipped
      print.out(
        `${client.padEnd(12)} ${passed} of ${of} passed, ${failed.length} failed, ${skipped} skipped, ${seconds} s  (${versions})\n`,
      )
    }
  }
  return totals.some(({ failed, passed }) => failed.length > 0 || passed === 0) ? 1 : 0
}

const oneLine = (text: string): string => text.replaceAll(/\s+/g, ' ').trim().slice(0, LINE_LENGTH)
