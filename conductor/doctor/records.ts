/** Stored records that cannot be read, as the conductor's /readyz names them. */
import { bad, ok, type Finding } from './finding.ts'

export function recordFindings(damaged: readonly string[]): Finding[] {
  if (damaged.length === 0) return [ok('records', 'every stored record can be read')]
  return damaged.map((record) =>
    bad(
      'records',
      `the stored record of ${record} cannot be read; it is out of service, and everything else goes on`,
      'restore the database from a backup, or delete it',
    ),
  )
}
